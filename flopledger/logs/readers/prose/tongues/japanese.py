"""Japanese: 兆 is 1e12; numbers in several scales (1億3000万) are common."""

from flopledger.logs.readers.prose.tongues.table import Scale, Tongue
from flopledger.logs.readers.prose.tongues.words import BATCH, LENGTH, PART, PERHAPS

_TRAIN = r"(?:継続|追加|継続的|再|フル)?(?:に)?(?:事前)?(?:学習|訓練|トレーニング)"
_TIME = r"(?P<unit>days|hours|weeks|minutes)"

TONGUE = Tongue(
    name="Japanese",
    scales=(
        Scale(word="千億", readings=(11,)),
        Scale(word="百億", readings=(10,)),
        Scale(word="十億", readings=(9,)),
        Scale(word="兆", readings=(12,)),
        Scale(word="億", readings=(8,)),
        Scale(word="千万", readings=(7,)),
        Scale(word="百万", readings=(6,)),
        Scale(word="十万", readings=(5,)),
        Scale(word="万", readings=(4,)),
        Scale(word="千(?![瓦円])", readings=(3,)),
    ),
    rules=(
        (
            r"{N} ?(?:以上|超)(?:の)? ?個?(?:の)? ?(?:トークン|tokens?)",
            r" more than \g<n> tokens ",
        ),
        (r"{N} ?個?(?:の)? ?(?:トークン|tokens?)(?:数)? ?(?:以上|超)", r" more than \g<n> tokens "),
        (r"{N} ?個?(?:の)? ?(?:トークン|tokens?)(?:分)?", r"\g<n> tokens "),
        (
            rf"{{N}} ?の? ?(?P<part>{PART}) ?(?:GPU|NPU|TPU)? ?・? ?時間",
            r"\g<n> \g<part> GPU hours ",
        ),
        (r"{N} ?の? ?(?:GPU|NPU|TPU) ?・? ?時間", r"\g<n> GPU hours "),
        (rf"{{N}} ?の? ?(?P<part>{PART}) ?(?:GPU|NPU|TPU)? ?・? ?日", r"\g<n> \g<part> GPU days "),
        (r"{N} ?の? ?(?:GPU|NPU|TPU) ?・? ?日", r"\g<n> GPU days "),
        (r"{N} (?P<unit>GPU hours|[A-Z]\w+ GPU hours) ?(?:以上|超)", r" more than \g<n> \g<unit> "),
        (r"{N} ?時間", r"\g<n> hours "),
        (r"{N} ?日間", r"\g<n> days "),
        (r"{N} ?週間", r"\g<n> weeks "),
        (r"{N} ?分間", r"\g<n> minutes "),
        (r"消費電力量?|電力消費量?|エネルギー(?:消費量?)?", " energy "),
        (
            r"(?:アクティブ|活性化?|学習可能な?|非埋め込み)(?:な)? ?パラメータ(?:ー)?(?:数)?(?:は|が|:|約| )*{N}",
            " a part of them ",
        ),
        (
            r"{N} ?個?の? ?(?:アクティブ|活性化?|学習可能な?|非埋め込み)(?:な)? ?パラメータ(?:ー)?",
            " a part of them ",
        ),
        (
            r"{N} ?個?の?パラメータ(?:ー)?(?:数)? ?(?:以下|以上|未満|規模|クラス|級)",
            " a class of models ",
        ),
        (r"{N} ?(?:tokens|ステップ|時間|days|hours|エポック)ごと(?:に)?", " periodically "),
        (r"{N} tokens ?(?:あたり|当たり|につき)", " per trillion "),
        (r"(?:エポック|ステップ|段階|1 ?日|ノード|GPU) ?(?:あたり|当たり|ごと|毎)", " per step "),
        (r"毎秒|1 ?秒(?:あたり|間)", " per second "),
        (r"そのうち|うち", " of which "),
        # Devices.
        (
            r"{N} ?(?:台|ノード)(?:の)?(?:サーバー?|マシン)?(?:に|、|,|\(|で)? ?(?:各|それぞれ|1 ?ノード(?:あたり)?) ?"
            r"{M} ?(?:基|枚|台|個|GPU)(?:の)? ?",
            r"\g<n> nodes with \g<m> ",
        ),
        (r"{N} ?(?:台(?:の)?(?:サーバー?|マシン|ノード)|ノード)", r"\g<n> nodes "),
        (rf"{{N}} ?(?:基|枚|個|つ)(?:の)? ?(?={PART})", r"\g<n> "),
        (rf"{{N}} ?台(?:の)? ?(?={PART})", r"\g<n> nodes of "),
        (
            rf"(?P<part>{PART}) ?(?:GPU)?(?:を|が|の)? ?x? ?{{N}} ?(?:基|枚|個)",
            r"\g<part> x\g<n> ",
        ),
        (r"{N} ?(?:基|枚|個)(?:の)? ?(?:GPU|TPU|アクセラレータ)", r"\g<n> GPUs "),
        # What was trained on, and how long.
        (
            rf"(?:約|およそ| )*(?P<q>more than )?{{N}} tokens ?(?:で|を用いて|を使って|を使用して|を用い|に対して|に渡り|分)"
            rf"(?:、| )*(?:ゼロから|スクラッチ(?:で|から)|フルスクラッチで)?{_TRAIN}(?!データ|コーパス|用)",
            r" trained on \g<q>\g<n> tokens ",
        ),
        (
            rf"{_TRAIN}(?:に|には|は)?(?:約|およそ| )*(?={{N}} {_TIME})",
            " trains for ",
        ),
        (
            rf"{{N}} {_TIME} ?(?:かけて|かけ|にわたって|にわたり|の)?{_TRAIN}",
            r" trains for \g<n> \g<unit> ",
        ),
        (
            r"(?P<kind>bf16|bfloat16|fp16|float16|fp8) ?(?:混合)?(?:精度)?(?:で|を用いて|を使用して)(?:事前)?(?:学習|訓練|トレーニング)",
            r" trained in \g<kind> ",
        ),
        (
            rf"{{N}} {_TIME} ?(?:を|が|ほど|程度)?(?:要し|かか|掛か|費や)",
            r" during \g<n> \g<unit> ",
        ),
        (r"{N} ?個?(?:の)? ?(?:パラメータ(?:ー)?|パラメーター)(?:数)?", r"\g<n> parameters "),
        (
            r"(?:パラメータ(?:ー)?|パラメーター)(?:数)?(?:は|が|:|約|およそ| )*{N}(?! ?(?:tokens|GPU|層|%|倍))",
            r" \g<n> parameters ",
        ),
        (r"バッチ ?サイズ(?:は|が|=|:|を| )*(?={N})", BATCH),
        (
            r"(?:シーケンス|系列|コンテキスト|コンテクスト|文脈|最大)長?(?:ウィンドウ)?(?:の長さ|長)?(?:は|が|=|:|を| )*(?={N})",
            LENGTH,
        ),
        (r"{N} ?(?:ステップ|イテレーション|反復)", r"\g<n> steps "),
        (r"{N} ?(?:エポック|周)", r"\g<n> epochs "),
        (r"{N} tokens ?/ ?(?:s|秒) ?/ ?(?:GPU|枚|基)", r"\g<n> tokens/s/GPU "),
        (r"(?:モデル)?FLOPs? ?(?:利用率|使用率)(?: ?\( ?MFU ?\))?", " MFU "),
        # Of whom and of what else.
        (r"それぞれ|各々", " respectively "),
        (r"各モデル(?:で|は|ごと)", " each model "),
        (r"(?:すべて|全て|全|両|複数)の?モデル|モデルシリーズ|シリーズ", " all models "),
        (r"(?:ベース|元|基盤)(?:と(?:なる|した|なった)|の)モデル(?:は|が)", " the base model was "),
        (
            r"アブレーション|予備実験|失敗|報酬モデル|分類器|合成データの?(?:生成|作成)|データの?(?:生成|作成)",
            " ablation ",
        ),
        (r"トークナイザ(?:ー)?", " tokenizer "),
        (
            r"中間|途中|チェックポイント|フェーズ ?\d|ステージ ?\d|第 ?[0-9一二三]+ ?(?:段階|フェーズ|ステージ)",
            " intermediate ",
        ),
        (
            r"可能|できます|できる|予定|計画|見込み|推定|見積|必要|推奨|想定|場合|例えば|たとえば|比べ|比較|相当|推論|評価|テスト|実験し|実験です|試し|統計|プロファイ|ベンチマーク"
            r"|理論|最大|最長|未満|以下|以内|目標|ない|ません|なかった|より(?=[^い])|残り|現在のところ|もし",
            PERHAPS,
        ),
        (
            r"(?:事前)?(?:学習|訓練|トレーニング)(?:用)?(?:データ(?:セット)?|コーパス)|コーパス|データセット|データ",
            " corpus ",
        ),
        (r"(?:事前)?学習済み(?:の)?(?:言語)?モデル", " model "),
        (rf"{_TRAIN}|ファインチューニング|微調整", " trains "),
        (r"(?:約|およそ)", " about "),
    ),
    labels=(
        (
            r"(?:総|合計)?(?:学習|訓練|事前学習|トレーニング)?(?:の)?(?:総)?(?:トークン|tokens?)(?:数)?",
            "tokens",
        ),
        (
            r"(?:事前)?(?:学習|訓練)(?:データ|コーパス)(?:量|サイズ|規模|セット)?|データ(?:量|サイズ)",
            "training data",
        ),
        (r"(?:モデル|総)?(?:パラメータ(?:ー)?|パラメーター)(?:数)?", "parameters"),
        (r"(?:最大)?(?:シーケンス|系列)長", "sequence length"),
        (
            r"(?:学習|訓練|使用)?(?:ハードウェア|GPU|計算資源|計算環境|学習環境|アクセラレータ)(?:構成)?",
            "hardware",
        ),
        (
            r"(?:事前)?(?:学習|訓練|トレーニング)(?:の)?(?:時間|期間|所要時間)|所要時間",
            "training time",
        ),
        (r"(?:総)?(?:学習)? ?GPU ?(?:・)?時間", "GPU hours"),
        (r"(?:学習の?)?(?:消費電力量?|電力消費量?|エネルギー消費量?)", "energy"),
        (r"(?:学習)?(?:精度|データ型)", "precision"),
        (r"(?:学習)?(?:総)?計算量", "training compute"),
    ),
)
