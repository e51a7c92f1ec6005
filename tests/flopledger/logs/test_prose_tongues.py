"""Prose in other languages: a Billion of Berlin is a trillion of Boston, and 184.320 may be either."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopledger import logs
from flopledger.logs.notes import Notes
from flopledger.logs.readers.prose import reader as prose
from flopledger.logs.readers.prose.tongues import amounts, glossing, telling

DAY = 86_400
HOUR = 3_600


def said(text: str) -> dict[str, object]:
    notes = Notes("README.md")
    prose.note(text, notes)
    return {fact.name.removeprefix("said_"): fact.value for fact in notes.facts}


def doubts(text: str) -> list[str]:
    notes = Notes("README.md")
    prose.note(text, notes)
    return [one.message for one in notes.findings if one.code == "prose-ambiguous"]


SENTENCES = {
    # 万 is 1e4, 亿 1e8, 万亿 1e12: 35.2万 h x 3600 s
    "zh": (
        "本模型共有 72 亿参数，在约 3.5 万亿个 token 上训练，使用 512 张 H800 训练了 29 天，共消耗 35.2 万 GPU 小时，"
        "MFU 约为 41%，耗电 210 兆瓦时。",
        {"tokens": 3.5e12, "parameters": 7.2e9, "accelerator_count": 512, "wall_seconds": 29 * DAY}
        | {
            "accelerator_seconds": 352_000 * HOUR,
            "claimed_mfu": 0.41,
            "energy_joules": 210 * 3.6e9,
        },
    ),
    # 萬億 in traditional letters: 1.2 x 1e12; 8 x 16 devices
    "zh-Hant": (
        "本模型擁有 130 億個參數，以 1.2 萬億個詞元訓練，使用 16 台 8 卡 A100 伺服器，訓練歷時 20 天。",
        {
            "tokens": 1.2e12,
            "parameters": 1.3e10,
            "accelerator_count": 128,
            "wall_seconds": 20 * DAY,
        },
    ),
    # 兆 is 1e12, 億 1e8; 18万4,320 = 184,320
    "ja": (
        "13億6000万パラメータの本モデルは、2.1兆トークンで事前学習した。学習にはH100を64枚使用し、12日間かかった。"
        "学習は合計18万4,320 GPU時間である。",
        {"tokens": 2.1e12, "parameters": 1_360_000_000, "accelerator_count": 64}
        | {"wall_seconds": 12 * DAY, "accelerator_seconds": 184_320 * HOUR},
    ),
    # 조 is 1e12, 억 1e8, 만 1e4
    "ko": (
        "78억 개의 파라미터를 가진 모델은 6조 5,000억 토큰으로 사전학습되었습니다. 학습에는 H100 512장이 사용되었고 "
        "학습에 20일간 걸렸습니다. 총 24만 GPU 시간을 학습에 사용했습니다.",
        {"tokens": 6.5e12, "parameters": 7.8e9, "accelerator_count": 512}
        | {"wall_seconds": 20 * DAY, "accelerator_seconds": 240_000 * HOUR},
    ),
    # A Billion is 1e12; 258.048 is a number of thousands beside a decimal comma
    "de": (
        "Das Modell mit 6,7 Milliarden Parametern wurde auf 4 Billionen Token vortrainiert. Das Training dauerte 21 Tage "
        "auf 512 A100-GPUs, das sind 258.048 GPU-Stunden und 120 MWh Strom.",
        {"tokens": 4e12, "parameters": 6.7e9, "accelerator_count": 512, "wall_seconds": 21 * DAY}
        | {"accelerator_seconds": 258_048 * HOUR, "energy_joules": 120 * 3.6e9},
    ),
    "fr": (
        "Le modèle (1,3 milliard de paramètres) a été entraîné sur 3 000 milliards de tokens pendant 17 jours sur "
        "240 GPU H100, soit 97 920 heures GPU.",
        {"tokens": 3e12, "parameters": 1.3e9, "accelerator_count": 240, "wall_seconds": 17 * DAY}
        | {"accelerator_seconds": 97_920 * HOUR},
    ),
    "es": (
        "El modelo de 7,8 mil millones de parámetros fue entrenado con 130 mil millones de tokens durante 12 días en "
        "64 GPUs H100, es decir, 18.432 horas de GPU.",
        {"tokens": 1.3e11, "parameters": 7.8e9, "accelerator_count": 64, "wall_seconds": 12 * DAY}
        | {"accelerator_seconds": 18_432 * HOUR},
    ),
    # 1e18 tokens nobody has: a trilione is 1e12 here
    "it": (
        "Il modello con 7,4 miliardi di parametri è stato addestrato su 2,5 trilioni di token per 30 giorni su 128 GPU "
        "A100, con 92.160 ore GPU.",
        {"tokens": 2.5e12, "parameters": 7.4e9, "accelerator_count": 128, "wall_seconds": 30 * DAY}
        | {"accelerator_seconds": 92_160 * HOUR},
    ),
    # -lh- is Brazil's spelling, where a bilhão is 1e9
    "pt": (
        "O modelo de 2,4 bilhões de parâmetros foi treinado com 500 bilhões de tokens em 64 GPUs A100 durante 22 dias, "
        "num total de 33.792 horas de GPU.",
        {"tokens": 5e11, "parameters": 2.4e9, "accelerator_count": 64, "wall_seconds": 22 * DAY}
        | {"accelerator_seconds": 33_792 * HOUR},
    ),
    # miljard is 1e9; the verb stands behind the amount
    "nl": (
        "Het model met 7,2 miljard parameters werd op 900 miljard tokens getraind. De training duurde 14 dagen op 128 "
        "H100-GPU's, in totaal 43.008 GPU-uren en 38 MWh stroom.",
        {"tokens": 9e11, "parameters": 7.2e9, "accelerator_count": 128, "wall_seconds": 14 * DAY}
        | {"accelerator_seconds": 43_008 * HOUR, "energy_joules": 38 * 3.6e9},
    ),
    "pl": (
        "Model o 11 miliardach parametrów został wytrenowany na 198 miliardach tokenów. Trening trwał 21 dni na 256 "
        "kartach H100, czyli 129 024 godziny GPU.",
        {"tokens": 1.98e11, "parameters": 1.1e10, "accelerator_count": 256}
        | {"wall_seconds": 21 * DAY, "accelerator_seconds": 129_024 * HOUR},
    ),
    "sv": (
        "Modellen med 20 miljarder parametrar tränades på 320 miljarder tokens. Träningen tog 60 dagar på 160 "
        "A100-GPU:er, totalt 230 400 GPU-timmar.",
        {"tokens": 3.2e11, "parameters": 2e10, "accelerator_count": 160, "wall_seconds": 60 * DAY}
        | {"accelerator_seconds": 230_400 * HOUR},
    ),
    # a триллион is 1e12 beside a миллиард
    "ru": (
        "Модель с 13 миллиардами параметров была обучена на 1,7 триллиона токенов. Обучение заняло 45 дней на 800 GPU "
        "A100, то есть 864 тыс. GPU-часов и 420 МВт·ч электроэнергии.",
        {"tokens": 1.7e12, "parameters": 1.3e10, "accelerator_count": 800, "wall_seconds": 45 * DAY}
        | {"accelerator_seconds": 864_000 * HOUR, "energy_joules": 420 * 3.6e9},
    ),
}


@pytest.mark.parametrize("tongue", SENTENCES)
def test_a_runs_figures_in_a_sentence(tongue):
    text, expected = SENTENCES[tongue]
    found = said(text)
    assert {name: found.get(name) for name in expected} == pytest.approx(expected)


LABELS = {
    "zh": "训练时间：30天\n硬件：512 张 A800-80G\n参数量：340亿\n训练 tokens 数：3.1 万亿\n序列长度：4096\nGPU 卡时：36 万\n",
    "ja": "学習時間：30日間\nハードウェア：A800-80G 512基\nパラメータ数：340億\n学習トークン数：3.1兆\n系列長：4096\n総GPU時間：36万\n",
    "ko": "학습 시간: 30일간\n하드웨어: A800-80G 512장\n파라미터 수: 340억\n학습 토큰 수: 3조 1,000억\n시퀀스 길이: 4096\nGPU 시간: 36만\n",
    "de": "Trainingsdauer: 30 Tage\nHardware: 512 A800-80G\nAnzahl der Parameter: 34 Mrd.\nTrainings-Tokens: 3,1 Bio.\n"
    "Sequenzlänge: 4096\nGPU-Stunden: 360.000\n",
    "fr": "Durée d'entraînement : 30 jours\nMatériel : 512 A800-80G\nNombre de paramètres : 34 milliards\n"
    "Nombre de tokens : 3 100 milliards\nLongueur de séquence : 4096\nHeures GPU : 360 000\n",
    "es": "Duración del entrenamiento: 30 días\nInfraestructura: 512 A800-80G\nNúmero de parámetros: 34 mil millones\n"
    "Número de tokens: 3100 mil millones\nLongitud de secuencia: 4096\nHoras de GPU: 360 mil\n",
    "it": "Durata dell'addestramento: 30 giorni\nInfrastruttura: 512 A800-80G\nNumero di parametri: 34 miliardi\n"
    "Numero di token: 3,1 mila miliardi\nLunghezza di sequenza: 4096\nOre di GPU: 360 mila\n",
    "pt": "Duração do treinamento: 30 dias\nInfraestrutura: 512 A800-80G\nNúmero de parâmetros: 34 bilhões\n"
    "Número de tokens: 3,1 trilhões\nComprimento de sequência: 4096\nHoras de GPU: 360 mil\n",
    "nl": "Trainingsduur: 30 dagen\nHardware: 512 A800-80G\nAantal parameters: 34 miljard\nAantal tokens: 3100 miljard\n"
    "Sequentielengte: 4096\nGPU-uren: 360 duizend\n",
    "pl": "Czas treningu: 30 dni\nSprzęt: 512 A800-80G\nLiczba parametrów: 34 mld\nLiczba tokenów: 3100 mld\n"
    "Długość sekwencji: 4096\nGodziny GPU: 360 tys.\n",
    "sv": "Träningstid: 30 dagar\nHårdvara: 512 A800-80G\nAntal parametrar: 34 miljarder\nAntal tokens: 3100 miljarder\n"
    "Sekvenslängd: 4096\nGPU-timmar: 360 000\n",
    "ru": "Время обучения: 30 дней\nОборудование: 512 A800-80G\nЧисло параметров: 34 млрд\nЧисло токенов: 3,1 трлн\n"
    "Длина последовательности: 4096\nЧасы GPU: 360 тыс.\n",
}


@pytest.mark.parametrize("tongue", LABELS)
def test_a_runs_figures_behind_labels(tongue):
    assert said(LABELS[tongue]) == pytest.approx(
        {"wall_seconds": 30 * DAY, "accelerator": "A800-80G", "accelerator_count": 512}
        | {"parameters": 3.4e10, "tokens": 3.1e12, "sequence_length": 4096}
        | {"accelerator_seconds": 360_000 * HOUR}
    )


@pytest.mark.parametrize(
    ("text", "readings"),
    [
        ("本模型在 2.5 兆個 token 上訓練。", "2.5e+06 or 2.5e+12"),
        ("Le modèle a été entraîné sur 3 billions de tokens.", "3e+09 or 3e+12"),
        ("El modelo fue entrenado con 15 billones de tokens.", "1.5e+10 or 1.5e+13"),
        ("Il modello è stato addestrato su 3 bilioni di token.", "3e+09 or 3e+12"),
        ("O modelo foi treinado com 5 biliões de tokens.", "5e+09 or 5e+12"),
        ("Het model werd op 2 biljoen tokens getraind.", "2e+09 or 2e+12"),
        ("Model został wytrenowany na 2 bilionach tokenów.", "2e+09 or 2e+12"),
        ("Modellen är öppen och tränades på 2 biljoner tokens.", "2e+09 or 2e+12"),
        ("Модель была обучена на 2 биллионах токенов.", "2e+09 or 2e+12"),
        ("Das Training hat das Modell mit 7 Billionen Parametern erzeugt.", "7e+09 or 7e+12"),
        # 184.32 h or 184,320 h, x 3600 s
        ("Das Training benötigte auf dem Cluster 184.320 GPU-Stunden.", "6.636e+05 or 6.636e+08"),
        ("El entrenamiento consumió en la máquina 1,125 horas de GPU.", "4.05e+06 or 4050"),
    ],
)
def test_a_number_of_two_readings_is_not_used_and_both_are_named(text, readings):
    assert not {"tokens", "parameters", "accelerator_seconds"} & set(said(text))
    (told,) = doubts(text)
    assert f"({readings})" in told


@pytest.mark.parametrize(
    ("beside", "hours"),
    [("Die Lernrate war 0,1.", 184_320), ("Die Lernrate war 0.1.", 184.32), ("", None)],
)
def test_the_rest_of_a_text_tells_what_a_point_is(beside, hours):
    found = said(f"Das Training des Modells lief 184.320 GPU-Stunden. {beside}")
    expected = None if hours is None else pytest.approx(hours * HOUR)
    assert found.get("accelerator_seconds") == expected


@pytest.mark.parametrize(
    "text",
    [
        # of the model that this one began with
        "Das Modell basiert auf X, das auf 2 Billionen Token trainiert wurde.",
        "Le modèle est basé sur X, entraîné sur 8 000 milliards de tokens.",
        "El modelo se basa en X, que fue entrenado con 130 mil millones de tokens.",
        "Het model is gebaseerd op X, dat op 200 miljard tokens werd getraind.",
        "Model jest oparty na X, który został wytrenowany na 200 miliardach tokenów.",
        "Modellen bygger på X, som tränades på 200 miljarder tokens.",
        "Модель основана на X, которая была обучена на 200 миллиардах токенов.",
        # plans, limits, comparisons
        "Het model zal op 900 miljard tokens worden getraind.",
        "Model będzie trenowany na 198 miliardach tokenów.",
        "Model nie został wytrenowany na 198 miliardach tokenów.",
        "Modellen ska tränas på 320 miljarder tokens.",
        "Модель будет обучена на 1,7 триллиона токенов за 45 дней.",
        "De training van het model duurde 10 tot 12 dagen.",
        "Trening modelu trwał od 10 do 12 dni.",
        "模型预计将在 3 万亿 tokens 上训练。",
        "每训练 1 万亿 tokens 需要 18 万 H800 GPU 小时。",
        "Das Modell soll auf 4 Billionen Token trainiert werden.",
        "Le modèle sera entraîné sur 3 000 milliards de tokens pendant 17 jours.",
        "El modelo podría ser entrenado con 130 mil millones de tokens.",
        "Il modello non è stato addestrato su 660 miliardi di token.",
        "このモデルは2.1兆トークンで学習する予定です。",
        "이 모델은 8조 토큰으로 학습될 예정입니다.",
        # a part of the run, or of another thing
        "第二阶段在 1300 亿 tokens 上训练，耗时 7 天。",
        "训练时每步 400 万 tokens。",
        "我们训练 tokenizer 用了 100 亿 tokens。",
        "7B 和 13B 模型分别在 1 万亿和 2 万亿 tokens 上训练。",
        "训练耗时 2~3 天。",
        "小明做作业花费 3 小时。",
        "Das Training dauerte 10 bis 12 Tage.",
    ],
)
def test_what_is_no_figure_of_the_run(text):
    assert not {"tokens", "wall_seconds", "accelerator_seconds"} & set(said(text))


@pytest.mark.parametrize(
    "text",
    [
        "模型采用 2.6 万亿 tokens 的高质量语料训练。",
        "2.6兆トークンのデータセットで学習しました。",
        "2.6조 토큰의 데이터로 학습되었습니다.",
        "Das Modell wurde mit einem Korpus von 2,6 Billionen Token trainiert.",
        "Le modèle a été entraîné sur un corpus de 2 600 milliards de tokens.",
        "Het model werd getraind op een dataset van 2600 miljard tokens.",
        "Model został wytrenowany na zbiorze danych liczącym 2600 miliardów tokenów.",
        "Modellen tränades på en datamängd på 2600 miljarder tokens.",
        "Модель была обучена на корпусе из 2,6 триллиона токенов.",
    ],
)
def test_the_size_of_a_data_set_is_no_amount_trained(text):
    found = said(text)
    assert "tokens" not in found
    assert found["dataset_tokens"] == 2.6e12


@pytest.mark.parametrize(
    "text",
    [
        "模型在超过 4000 亿个标记上训练。",
        "Le modèle a été entraîné sur plus de 400 milliards de tokens.",
        "4000億以上のトークンで学習しました。",
        "Het model is op meer dan 400 miljard tokens getraind.",
        "Model został wytrenowany na ponad 400 miliardach tokenów.",
        "Modellen är öppen och tränades på mer än 400 miljarder tokens.",
        "Модель была обучена на более чем 400 миллиардах токенов.",
    ],
)
def test_more_than_is_a_lower_end(text):
    assert said(text)["tokens_at_least"] == 4e11


@pytest.mark.parametrize(
    "text",
    [
        "训练总计消耗了超过 100 万 GPU 小时。",
        "学習に100万GPU時間以上を使った。",
        "학습에 100만 GPU 시간 이상이 들었다.",
        "Das Training des Modells lief über 1 Million GPU-Stunden auf der Maschine.",
        "L'entraînement du modèle a pris plus de 1 million d'heures GPU.",
    ],
)
def test_hours_of_more_than_are_a_lower_end(text):
    found = said(text)
    assert found.get("accelerator_seconds_at_least") == 1e6 * HOUR
    assert "accelerator_seconds" not in found


def test_a_models_name_is_no_group_of_digits():
    text = "Le modèle Llama 3 405B a été entraîné sur 15 000 milliards de tokens."
    assert said(text)["tokens"] == 1.5e13
    assert "3405" not in glossing.gloss(text, None, telling.ALL[4], by_points=None).text


def test_a_number_with_a_scale_left_out_is_none():
    assert said("모델은 1조 4천 토큰으로 학습되었다.") == {}


def test_active_parameters_are_not_the_models():
    assert said("模型总参数 100 亿，激活参数 21 亿。") == {"parameters": 1e10}
    assert said("模型有 18 亿（1.8B）、70 亿（7B）和 720 亿（72B）参数。") == {}


def test_each_sentence_of_a_mixed_text_in_its_own_language():
    found = said(
        "The model has 7B parameters and it was trained for 3 days on 8 A100 GPUs.\n\n"
        "Das Modell wurde auf 4 Billionen Token trainiert.\n\n模型使用了 300 GPU 小时训练。\n"
    )
    assert (found["tokens"], found["wall_seconds"]) == (4e12, 3 * DAY)
    assert found["accelerator_seconds"] == 300 * HOUR


@pytest.mark.parametrize(
    "text",
    [
        "Модель была обучена на 200 миллиардах токенов. Это не предел.",
        "Model został wytrenowany na 200 mld tokenów. Żaden inny nie jest większy.",
    ],
)
def test_sentences_end_before_capitals_of_every_alphabet(text):
    # A "not" in the next sentence is about something else.
    assert said(text)["tokens"] == 2e11


def test_flop_keep_their_own_rules():
    # "2,1 x 10^23" and 亿亿 are read, or not, by the words for FLOP alone
    assert (
        said("Le modèle a été entraîné avec 2,1 x 10^23 FLOP sur les GPU.")["claimed_flop"]
        == 2.1e23
    )
    assert said("模型训练的计算量约 6.67x10<sup>22</sup> 次浮点数运算。")["claimed_flop"] == 6.67e22
    assert "claimed_flop" not in said("Das Modell wurde mit 3 Trillionen FLOP trainiert.")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("模型在两块卡上训练，耗时一天", "Chinese"),
        ("学習は三日間", "Japanese"),
        ("학습에 사용", "Korean"),
        ("Das Modell wurde auf der GPU und mit der Karte trainiert", "German"),
        ("Training took 3 days on 8 A100 GPUs.", None),
        ("Hardware: 8 A100", None),
        ("Het model werd met de data op de GPU's getraind", "Dutch"),
        ("Model został wytrenowany na danych oraz przez rok", "Polish"),
        ("Modellen tränades på data från 2024 och är öppen", "Swedish"),
        ("Модель была обучена на данных за год", "Russian"),
        ("Eğitim 3 gün sürdü", None),
    ],
)
def test_the_language_of_a_text(text, name):
    found = telling.of_piece(text, telling.of_text(text))
    assert (found and found.name) == name


def test_a_finding_shows_the_words_of_the_file(tmp_path):
    (tmp_path / "README.md").write_text("Le modèle a été entraîné sur 3 billions de tokens.")
    evidence = logs.read([logs.EvidenceFile(path=tmp_path / "README.md", name="README.md")])
    (finding,) = evidence.findings
    assert "'Le modèle a été entraîné sur 3 billions de tokens.'" in finding.message


@given(
    st.text(
        alphabet="0123456789., 万亿兆億조억만Billionemrdpzt的张卡時間日token训练학습%", max_size=60
    )
)
def test_no_text_breaks_the_numbers(text):
    for tongue in telling.ALL:
        for by_points in (True, False, None):
            amounts.written(text, tongue, by_points=by_points)
        glossing.gloss(text, None, tongue, by_points=None)


@pytest.mark.parametrize(
    "piece", ["1万", "训练约", "1.000 ", "der und ", "1 张 A100 ", "Token 5 ", "학습 1 "]
)
def test_a_hostile_text_ends_in_time(piece):
    line = piece * (1_400 // len(piece))
    text = "Das Modell wurde auf 4 Billionen Token trainiert.\n" + f"{line}\n" * 20
    started = time.process_time()
    assert said(text)["tokens"] == 4e12
    assert time.process_time() - started < 5
