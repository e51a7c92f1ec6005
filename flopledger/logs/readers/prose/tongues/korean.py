"""Korean: 조 is 1e12, 억 1e8, 만 1e4."""

from flopledger.logs.readers.prose.tongues.table import Scale, Tongue
from flopledger.logs.readers.prose.tongues.words import BATCH, LENGTH, PART, PERHAPS

_TRAIN = r"(?:사전|추가|지속|계속)? ?(?:학습|훈련|트레이닝)"
_TIME = r"(?P<unit>days|hours|weeks|minutes)"

TONGUE = Tongue(
    name="Korean",
    groups_by_spaces=True,
    scales=(
        Scale(word="천억", readings=(11,)),
        Scale(word="백억", readings=(10,)),
        Scale(word="십억", readings=(9,)),
        Scale(word="조(?![가-힣])", readings=(12,)),
        Scale(word="억(?![가-힣])", readings=(8,)),
        Scale(word="천만", readings=(7,)),
        Scale(word="백만", readings=(6,)),
        Scale(word="십만", readings=(5,)),
        Scale(word="만(?![가-힣])", readings=(4,)),
        Scale(word="천(?![가-힣])", readings=(3,)),
    ),
    rules=(
        (r"{N} ?개? ?(?:이상|넘는|초과)(?:의)? ?(?:토큰|tokens?)", r" more than \g<n> tokens "),
        (r"{N} ?개?(?:의)? ?(?:토큰|tokens?) ?(?:이상|넘)", r" more than \g<n> tokens "),
        (r"{N} ?여? ?개?(?:의)? ?(?:토큰|tokens?)", r"\g<n> tokens "),
        (rf"{{N}} ?(?P<part>{PART})? ?(?:GPU|NPU|TPU) ?·?시간", r"\g<n> \g<part> GPU hours "),
        (rf"{{N}} ?(?P<part>{PART}) ?·?시간", r"\g<n> \g<part> GPU hours "),
        (r"{N} (?P<unit>GPU hours|[A-Z]\w+ GPU hours) ?(?:이상|넘)", r" more than \g<n> \g<unit> "),
        (r"{N} ?시간", r"\g<n> hours "),
        (r"{N} ?일(?:간|정도| 동안)", r"\g<n> days "),
        (r"{N} ?주(?:간| 동안)", r"\g<n> weeks "),
        (r"{N} ?분(?:간| 동안)", r"\g<n> minutes "),
        (r"전력 ?(?:소비|소모|사용)?(?:량)?|에너지 ?(?:소비|사용)?(?:량)?", " energy "),
        (
            r"(?:활성화?|학습 ?가능한?) ?(?:된)? ?(?:파라미터|매개 ?변수|파라메터)(?:는|가|:|수| )*{N}",
            " a part of them ",
        ),
        (
            r"{N} ?개?의? ?(?:활성화?|학습 ?가능한?)(?:된)? ?(?:파라미터|매개 ?변수|파라메터)",
            " a part of them ",
        ),
        (
            r"{N} ?개?의? ?(?:파라미터|매개 ?변수|파라메터) ?(?:이하|이상|미만|급|규모)",
            " a class of models ",
        ),
        (r"{N} tokens ?당", " per trillion "),
        (r"{N} ?(?:steps?|스텝|hours|days|tokens) ?마다", " periodically "),
        (r"(?:에폭|epoch|스텝|단계|노드|GPU) ?(?:당|마다|별)", " per step "),
        (r"초당", " per second "),
        (r"이 ?중|그중", " of which "),
        (
            r"{N} ?(?:대|개)(?:의)? ?(?:노드|서버)[,에]? ?(?:각|노드당) ?{M} ?(?:장|개|대)(?:의)? ?",
            r"\g<n> nodes with \g<m> ",
        ),
        (r"{N} ?(?:대|개)?(?:의)? ?(?:노드|서버)", r"\g<n> nodes "),
        (rf"{{N}} ?(?:장|개)(?:의)? ?(?={PART})", r"\g<n> "),
        (rf"{{N}} ?대(?:의)? ?(?={PART})", r"\g<n> nodes of "),
        (rf"(?P<part>{PART}) ?(?:GPU)? ?x? ?{{N}} ?(?:장|개)", r"\g<part> x\g<n> "),
        (
            rf"(?:약|대략|총| )*(?P<q>more than )?{{N}} tokens ?(?:으?로|을|를|에 대해|을 사용하여|을 이용해|을 이용하여)"
            rf" ?(?:처음부터 )?{_TRAIN}(?! ?(?:데이터|코퍼스|말뭉치))",
            r" trained on \g<q>\g<n> tokens ",
        ),
        (rf"{_TRAIN}(?:에|에는|은|을|시간은)?(?: |약|총|대략)*(?={{N}} {_TIME})", " trains for "),
        (
            rf"{{N}} {_TIME} ?(?:동안|간|에 걸쳐)? ?{_TRAIN}",
            r" trains for \g<n> \g<unit> ",
        ),
        (rf"{{N}} {_TIME} ?(?:이|가|정도|을|를)? ?(?:걸|소요|투입)", r" during \g<n> \g<unit> "),
        (r"{N} ?개?(?:의)? ?(?:파라미터|매개 ?변수|파라메터)", r"\g<n> parameters "),
        (
            r"(?:파라미터|매개 ?변수|파라메터) ?(?:수|개수)?(?:는|가|:|은|약| )*{N}(?! ?(?:tokens|GPU|층|%|배))",
            r" \g<n> parameters ",
        ),
        (r"배치 ?(?:크기|사이즈)(?:는|=|:|은| )*(?={N})", BATCH),
        (r"(?:시퀀스|컨텍스트|최대) ?(?:길이|윈도우)(?:는|=|:|은| )*(?={N})", LENGTH),
        (r"{N} ?(?:스텝|steps?|이터레이션)", r"\g<n> steps "),
        (r"{N} ?(?:에폭|에포크|epochs?)", r"\g<n> epochs "),
        (r"{N} tokens ?/ ?(?:s|초) ?/ ?(?:GPU|장)", r"\g<n> tokens/s/GPU "),
        (r"각각", " respectively "),
        (r"각 ?모델", " each model "),
        (r"(?:모든|전체|두|여러) ?모델|모델 ?(?:시리즈|패밀리)", " all models "),
        (r"(?:기반|베이스|원본|원) ?모델(?:은|이)", " the base model was "),
        (r"어블레이션|실패|보상 ?모델|분류기|(?:합성 )?데이터 ?(?:생성|정제)", " ablation "),
        (r"토크나이저", " tokenizer "),
        (r"중간|체크포인트|진행 ?중|[1-5] ?단계", " intermediate "),
        (
            r"가능|수 있|예정|계획|예상|추정|필요|권장|가정|경우|예를 들|비해|비교|상당하는|추론|평가|테스트|벤치마크|이론|최대|최고|미만|이하"
            r"|이내|목표|않|없|보다|남은|만약|만에(?= 가능)",
            PERHAPS,
        ),
        (
            r"(?:사전)? ?(?:학습|훈련) ?(?:데이터(?:셋)?|코퍼스|말뭉치)|데이터 ?(?:세트|셋|집합)?|코퍼스|말뭉치",
            " corpus ",
        ),
        (r"사전 ?(?:학습|훈련)된 ?(?:언어 ?)?모델", " model "),
        (rf"{_TRAIN}|미세 ?조정|파인 ?튜닝", " trains "),
    ),
    labels=(
        (r"(?:총)? ?(?:사전)? ?(?:학습|훈련)? ?(?:토큰|tokens?) ?(?:수)?", "tokens"),
        (r"(?:사전)? ?(?:학습|훈련) ?(?:데이터|코퍼스|말뭉치) ?(?:양|크기|규모)?", "training data"),
        (r"(?:모델)? ?(?:파라미터|매개 ?변수|파라메터) ?(?:수|개수)?", "parameters"),
        (r"(?:최대)? ?(?:시퀀스) ?길이", "sequence length"),
        (r"(?:학습|훈련|사용)? ?(?:하드웨어|장비|GPU|컴퓨팅 ?자원|학습 ?환경)", "hardware"),
        (r"(?:총)? ?(?:사전)? ?(?:학습|훈련) ?(?:시간|기간)|소요 ?시간", "training time"),
        (r"(?:총)? ?(?:학습)? ?GPU ?시간", "GPU hours"),
        (r"(?:학습)? ?(?:전력|에너지) ?(?:소비|사용|소모)량", "energy"),
        (r"(?:학습)? ?(?:정밀도|데이터 ?타입)", "precision"),
    ),
)
