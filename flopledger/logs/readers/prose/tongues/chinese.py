"""Chinese, simplified and traditional.

万亿 is 1e12 and nothing else. 兆 is 1e12 in Taiwan and a million on the mainland: both readings are named, and
neither is used. Traditional letters are written as simplified ones first.
"""

from flopledger.logs.readers.prose.tongues.table import Scale, Tongue
from flopledger.logs.readers.prose.tongues.words import BATCH, LENGTH, PART, PERHAPS

_TRADITIONAL = "訓練萬億個張塊時間於參數據樣總約為過費電顯長開發與達這後從進語標記載碼對應節點臺機單雙週資態圖類歷準號級階動須計劃預測評試專權詞單處優調現體實際僅別統兩無並還沒將會給來網絡規學習處釋"
_SIMPLIFIED = "训练万亿个张块时间于参数据样总约为过费电显长开发与达这后从进语标记载码对应节点台机单双周资态图类历准号级阶动须计划预测评试专权词单处优调现体实际仅别统两无并还没将会给来网络规学习处释"
_ABOUT = r"(?: |约|大约|大概|近|将近|总计|总共|共计|一共|共|约为|了|为|是|达到|达|有|:)*"
_TRAIN = (
    r"(?:继续|增量|二次|进一步|从头|从零|开始|进行|充分|完整|全量|稳定|做|了|过|的)*(?:预|再)?训练"
)
_CARD = r"(?:(?:GPU|NPU|加速卡|显卡) ?卡?|卡)"  #: what device-hours are of
_HOUR = r"(?:小时|时(?![间长候]))"
_TIME = r"(?P<unit>days|hours|weeks|minutes)"

TONGUE = Tongue(
    name="Chinese",
    variants=str.maketrans(_TRADITIONAL, _SIMPLIFIED),
    scales=(
        Scale(word="千万亿", readings=(15,)),
        Scale(word="百万亿", readings=(14,)),
        Scale(word="十万亿", readings=(13,)),
        Scale(word="万亿", readings=(12,)),
        Scale(word="千亿", readings=(11,)),
        Scale(word="百亿", readings=(10,)),
        Scale(word="十亿", readings=(9,)),
        Scale(word="亿", readings=(8,)),
        Scale(word="千万", readings=(7,)),
        Scale(word="百万", readings=(6,)),
        Scale(word="十万", readings=(5,)),
        Scale(word="万", readings=(4,)),
        Scale(word="千(?![瓦米克卡])", readings=(3,)),
        Scale(word="兆(?![瓦字位赫])", readings=(12, 6)),
    ),
    rules=(
        # Units.
        (r"英伟达", "NVIDIA "),
        (r"昇腾 ?", "Ascend "),
        (
            r"{N} ?(?:余|多) ?个? ?(?:文本)?(?:tokens?|词元|标记|令牌|词符)",
            r" more than \g<n> tokens ",
        ),
        (
            r"{N} ?(?:个)?(?:的)? ?(?:高质量|多语言|中英文|中英双语|双语|训练|预训练|文本)* ?"
            r"(?:tokens?|词元|标记|令牌|词符)",
            r"\g<n> tokens ",
        ),
        (r"(?:超过|超|逾|大于|多于|不少于|不低于)了? ?(?={N} tokens)", " more than "),
        (
            rf"(?:超过|超|逾|大于|多于|不少于|不低于)了? ?(?={{N}} ?个? ?(?:{PART} ?)?{_CARD}? ?·? ?{_HOUR})",
            " more than ",
        ),
        (r"{N} tokens ?(?:以上|之多)", r" more than \g<n> tokens "),
        (rf"{{N}} ?个? ?(?P<part>{PART}) ?{_CARD}? ?·? ?{_HOUR}", r"\g<n> \g<part> GPU hours "),
        (rf"{{N}} ?个? ?{_CARD} ?·? ?{_HOUR}", r"\g<n> GPU hours "),
        (rf"{{N}} ?个? ?(?P<part>{PART}) ?{_CARD}? ?·? ?(?:天|日)", r"\g<n> \g<part> GPU days "),
        (rf"{{N}} ?个? ?{_CARD} ?·? ?(?:天|日)", r"\g<n> GPU days "),
        (r"{N} ?个? ?机时", r"\g<n> node hours "),
        (r"{N} ?个?小时(?:时间|左右)?", r"\g<n> hours "),
        (r"{N} ?天(?:时间|左右)?", r"\g<n> days "),
        (r"{N} ?(?:个星期|星期|周)(?:时间|左右)?", r"\g<n> weeks "),
        (r"{N} ?分钟", r"\g<n> minutes "),
        (r"{N} ?(?:千瓦 ?时|千瓦 ?小时|度电)", r"\g<n> kWh "),
        (r"{N} ?兆瓦 ?(?:时|小时)", r"\g<n> MWh "),
        (r"{N} ?吉瓦 ?(?:时|小时)", r"\g<n> GWh "),
        (r"耗电量?|用电量?|能耗|电力消耗|电能消耗|耗能", " energy "),
        # What is none of the run's: of a part of the parameters, of each step or device, now and then.
        (
            r"(?:激活|活跃|可训练|可学习|非词?嵌入)的?参数量?(?:规模)?[:为约仅是有 ]*{N}",
            " a part of them ",
        ),
        (
            r"{N}(?: ?\([^()]*\))? ?个?的?(?:激活|活跃|可训练|可学习|非词?嵌入)的?参数量?",
            " a part of them ",
        ),
        (r"{N} ?(?:个)?参数量?(?:以下|以上|以内|级别?|级|量级)", " a class of models "),
        (
            r"每隔? ?{N} ?(?:days|hours|minutes|weeks|天|小时|步|steps?|tokens|个?epochs?)",
            " periodically ",
        ),
        (r"每训练? ?{N}", " per trillion "),
        (r"每个?(?:阶段|步|轮|批|epoch|step)", " per step "),
        (r"每秒", " per second "),
        (r"其中", " of which "),
        (r"包括|包含|涵盖", " including "),
        # Devices.
        (
            r"{N} ?(?:台|个) ?(?:服务器|机器|节点|主机)?[,，]? ?(?:每台|每个节点|每节点|每机|每台机器|每台服务器)"
            r"(?:上)?(?:都)?(?:有|配备|搭载|含|装有|使用)?了? ?{M} ?(?:张|块|片|枚|颗|个|卡) ?",
            r"\g<n> nodes with \g<m> ",
        ),
        (r"{N} ?(?:台|个节点|节点)(?:的)? ?{M} ?卡(?:的)? ?", r"\g<n> nodes with \g<m> "),
        (r"单机 ?{N} ?卡(?:的)? ?", r" \g<n> "),
        (r"{N} ?(?:台|个) ?(?:服务器|机器|节点|主机)", r"\g<n> nodes "),
        (rf"{{N}} ?台 ?(?={PART})", r"\g<n> nodes of "),
        (rf"单(?:张|块|个|卡) ?(?={PART})", " 1 "),
        (
            rf"{{N}} ?x? ?(?:张|块|片|枚|颗|个|卡)(?:的)? ?(?={PART})",
            r"\g<n> ",
        ),
        (
            rf"(?P<part>{PART}) ?(?:GPU)? ?x? ?{{N}} ?(?:张|块|片|枚|颗|卡)",
            r"\g<part> x\g<n> ",
        ),
        (
            r"{N} ?(?:张|块|片|枚|颗|个)? ?(?:GPU|NPU|显卡|加速卡|显示卡|卡)(?! ?[A-Za-z·])",
            r"\g<n> GPUs ",
        ),
        # What was trained on, and how long.
        (
            rf"(?:在|用|使用|采用|基于|以|经过|通过|利用)(?:了)?{_ABOUT}(?P<q>more than )?{{N}} tokens ?"
            rf"(?:上|中|之上|来)? ?(?:的)?{_TRAIN}(?!数据|语料|集)",
            r" trained on \g<q>\g<n> tokens ",
        ),
        (
            rf"(?<![每数])训练(?:了|过|于)?(?:超)?{_ABOUT}(?P<q>more than )?{{N}} tokens(?! ?的?(?:数据|语料|文本))",
            r" trained on \g<q>\g<n> tokens ",
        ),
        (
            rf"(?:耗时|历时|用时|花费|花了|持续|为期|费时|时长|耗费)(?:时间)?{_ABOUT}(?={{N}} {_TIME})",
            " during ",
        ),
        (rf"训练(?:时间|时长)?{_ABOUT}(?={{N}} {_TIME})", " trains for "),
        (
            rf"{{N}} {_TIME} ?(?:内|里)?(?:的|完成|就能)?(?:了)?(?:预)?训练(?:时间|时长)?",
            r" trains for \g<n> \g<unit> ",
        ),
        (
            r"(?:使用|采用|用|以) ?(?P<kind>bf16|bfloat16|fp16|float16|fp8) ?(?:混合)?(?:精度)?(?:进行)?(?:了)?(?:的)?(?:预)?训练",
            r" trained in \g<kind> ",
        ),
        # Parameters, batches, lengths, steps, passes, rates.
        (r"{N} ?个?的?(?:模型|总)?参数(?:量|规模|数量)?", r"\g<n> parameters "),
        (
            rf"(?:总参数(?:量|规模|数量|数)?|参数(?:量|规模|总量|数量|数)){_ABOUT}{{N}}(?! ?(?:tokens|GPU|steps|days|hours|层|%|倍|x))",
            r" \g<n> parameters ",
        ),
        (rf"(?:全局|总)?(?:批次|批处理|批量|批)(?:大小)?(?:=)?{_ABOUT}(?={{N}})", BATCH),
        (rf"batch[ _-]?size ?(?:=)?{_ABOUT}(?={{N}})", BATCH),
        (rf"(?:序列|上下文|最大|文本)(?:窗口)?长度(?:=)?{_ABOUT}(?={{N}})", LENGTH),
        (r"{N} ?(?:步|次迭代|次更新|个? ?steps?)", r"\g<n> steps "),
        (r"{N} ?个? ?(?:轮次|轮|epochs?|遍)", r"\g<n> epochs "),
        (
            r"{N} tokens ?/ ?(?:s|秒|second) ?/ ?(?:GPU|卡)",
            r"\g<n> tokens/s/GPU ",
        ),
        (
            r"每(?:张|块|个)?(?:GPU|卡) per second ?(?:处理|训练|吞吐)?(?:可)?(?:约| )*{N} tokens",
            r" \g<n> tokens/s/GPU ",
        ),
        (r"(?:模型)?(?:算力|FLOPs?|浮点运算) ?利用率(?: ?\( ?MFU ?\))?", " MFU "),
        # Of whom and of what else.
        (r"分别", " respectively "),
        (r"每个模型|每种模型", " each model "),
        (
            r"系列模型|模型系列|所有模型|全部模型|各个?模型|多个模型|两个模型|模型家族|全系列",
            " all models ",
        ),
        (
            r"(?:其|该|原|原始|所用|所基于的)(?:基座|底座|基础|母|原始|教师)?模型(?=.{0,30}训练)",
            " the base model was ",
        ),
        (
            r"消融|预实验|小规模实验|超参数?搜索|失败|奖励模型|打分模型|分类器|数据清洗|清洗数据|生成数据|合成数据",
            " ablation ",
        ),
        (r"分词器", " tokenizer "),
        (r"检查点|存档|断点|中间(?:模型|版本|结果)|checkpoints?", " intermediate "),
        (r"第?(?:[一二三四五]|[1-5]) ?阶段", " intermediate "),
        (
            r"可以|能够|可能|将会|将要|即将|计划|预计|预期|估计|估算|需要|所需|只需|需|要求|建议|推荐|假设|假如|如果|若|例如"
            r"|比如|相比|对比|相当于|等同于|推理|部署|评测|评估|测试|测了|测得|实测|尝试|参考|快速体验|面的命令|下命令|免费|对齐|吻合|媲美|对标|显存|理论|最多|最高|最大(?=[为是可支约 \d])|不超过|不到|低于|少于|小于|以内|高达|多达"
            r"|尚未|没有|未经|未使用|并非|而非|不是|只有|目标|相较|比(?![例特率])|剩余",
            PERHAPS,
        ),
        (r"(?:预)?训练(?:用)?(?:数据集?|语料库?|集|文本)|语料库?|数据集?|资料集?", " corpus "),
        (r"(?:大规模)?预训练(?:语言)?(?:大)?模型", " model "),
        (rf"{_TRAIN}|微调|精调", " trains "),
    ),
    labels=(
        (
            r"(?:总|预)?(?:训练)?(?:的)? ?(?:tokens?|词元)(?:数|数量|总数|量|总量)?|训练(?:tokens?|词元)(?:数|量|数量)?",
            "tokens",
        ),
        (
            r"(?:预)?训练(?:数据|语料|数据集)(?:量|规模|大小)?|数据(?:量|规模)|语料规模",
            "training data",
        ),
        (r"(?:模型|总)?参数(?:量|规模|总量|数量|数)?|模型规模", "parameters"),
        (r"(?:最大)?(?:训练)?序列长度", "sequence length"),
        (
            r"(?:训练)?(?:硬件|设备|显卡|加速卡|算力|GPU|硬件环境|训练环境|计算资源|训练资源)(?:类型|配置|型号)?",
            "hardware",
        ),
        (r"(?:总)?(?:预)?训练(?:总)?(?:时间|时长|耗时|用时)|耗时|用时", "training time"),
        (r"(?:总)?(?:训练)? ?(?:GPU|NPU)? ?(?:卡时|卡小时|GPU ?小时|GPU ?时)(?:数)?", "GPU hours"),
        (r"(?:训练)?(?:能耗|耗电量|用电量|电力消耗|能源消耗)", "energy"),
        (r"(?:训练)?吞吐量?|训练速度", "throughput"),
        (r"(?:训练)?精度|数据类型", "precision"),
        (r"(?:训练)?(?:总)?(?:计算量|浮点运算(?:量|次数)?|算力消耗)", "training compute"),
    ),
)
