"""Polish: its words, and how it writes numbers (``european``).

A *miliard* is 1e9. A *bilion* is 1e12 by the dictionary, and 1e9 where "billion" was carried over: both are named.
"""

from flopledger.logs.readers.prose.tongues.european import Words, rules, scales
from flopledger.logs.readers.prose.tongues.table import Tongue

_WORDS = Words(
    trained=r"(?:wy|prze|do|pre)?-?trenowa\w+|(?:pre)?-?trening\w*|(?:na|prze)?uczon\w+|uczeni\w+|(?:prze|do)?szkol(?:on|eni)\w+|dostroj\w+|dostraja\w+",
    on="na|przy użyciu|z użyciem|z wykorzystaniem|za pomocą",
    data=r"zbi[oó]r\w* danych|dan(?:e|ych|ymi)|korpus\w*|tekst\w*|dataset\w*",
    tokens=r"token(?:y|ów|ach|ami|a)?",
    parameters=r"parametr(?:y|ów|ach|ami|u|em)?",
    of="",
    about=r"około |ok\. ?|blisko |prawie |niemal |w sumie |łącznie |mniej więcej |zaledwie |tylko |jedynie ",
    more_than=r"ponad|więcej niż|co najmniej|przeszło|powyżej",
    not_the_figure=r"(?:aktywn|trenowaln)\w+ parametr\w*|(?:aktywn|trenowaln)\w+",
    day=r"dni|dzień|dnia|dób|doby|dobę",
    hour=r"godzin[aęy]?|godz\.?|h",
    week=r"tygodni[ea]?|tydzień",
    minute=r"minut[aęy]?|min",
    device_hours=(
        r"{N} ?godzin[aęy]?(?: pracy| obliczeń| obliczeniowych)?(?: na)? (?:(?:GPU|NPU|TPU) )?PART",
        r"{N} ?godzin[aęy]?(?: pracy| obliczeń| obliczeniowych)?(?: na)?[- ](?:GPU|NPU|TPU)(?P<part>)(?!\w)",
        r"{N} (?:GPU|NPU|TPU)[ -]?(?:godzin[aęy]?|h)(?P<part>)(?!\w)",
        r"{N} ?PART[ -]?godzin[aęy]?(?!\w)",
    ),
    device=r"kart(?:y|ach|ami)?(?: graficzn\w+)?|GPU|układ(?:y|ów|ach)|akcelerator\w*|procesor\w+ graficzn\w+",
    node=r"węz(?:łami|łach|łów|ły|eł)|serwer(?:ami|ach|ów|y)|maszyn(?:ach|y)?",
    each_with=r"po|każdy z|z|wyposażon\w+ w",
    lasted=r"trwał[aoy]?|w ciągu|w czasie|przez|w|zajął|zajęł[aoy]|pochłon\w+|wymagał[aoy]?",
    batch=r"(?:rozmiar\w*|wielkoś\w+) (?:partii|wsadu|batcha|batch)|batch size",
    length=r"długoś(?:ć|ci|cią) (?:sekwencji|kontekstu)|okn\w+ kontekst\w+",
    steps=r"krok(?:ach|ów|i|u)?|iteracj(?:ach|i|e)",
    epochs=r"epok(?:ach|i|a|ę)?|epoce",
    # "na" is also "on": it parts only what has no other sense.
    per=r"na(?= (?:krok|epokę|iterację|dobę|dzień|godzinę|kartę))|co|każd(?:ego|ej|ym|y|a|e|ą)",
    of_which=r"z czego|w tym|z których",
    respectively=r"odpowiednio",
    all_models=r"(?:wszystki\w+|ob(?:a|u|ydwa)) (?:\w+ )?model\w+|(?:rodzin|seri)\w+ modeli",
    each_model=r"każd\w+ (?:z )?model\w*",
    based_on=r"opart\w+ (?:na|o)|na bazie|na podstawie|bazuj\w+ na|wywodz\w+ się z|zbudowan\w+ na|pochodn\w+",
    base_model=r"model\w* (?:bazow|podstawow|oryginaln|wyjściow|źródłow)\w+",
    which_was=r"któr(?:y|a|e|ego|ej) (?:był[aoy]?|został[aoy]?)|wcześniej (?:wy|prze)?trenowan\w+",
    other_work=r"ablacj\w*|wstępn\w+ eksperyment\w*|nieudan\w*|hiperparametr\w*|generowani\w+ danych|tokeni[sz]\w+|model\w* nagrody",
    part_of_it=r"pośredni\w*|punkt\w* kontroln\w*|checkpoint\w*|(?:pierwsz|drug|trzeci|ostatni)\w* (?:faz|etap)\w*|dotychczas\w*|jak dotąd|do tej pory",
    perhaps=(
        r"może|mogą|móg\w+|mogł\w+|będzie|będą|powin\w+|planowan\w*|planuj\w*|szac\w+|wymaga|wymagają|wymagan\w*|potrze\w+|niezbędn\w*|konieczn\w*"
        r"|zaleca\w*|minimum|maksimum|maksymaln\w*|minimaln\w*|do(?= (?:\w+ )?\d)|najwyżej|poniżej|mniej niż|niespełna|jeśli|jeżeli|gdyby|na przykład|np\."
        r"|porówn\w+|zamiast|niż(?= (?:\w+ )?\d)|nie|nigdy|inferencj\w*|wnioskowani\w*|ewaluacj\w*|teoretyczn\w*|cel(?:em)?|pozostał\w*|budżet\w*"
    ),
    energy=r"zużyci\w+ (?:energii(?: elektrycznej)?|prądu)|energi\w+(?: elektryczn\w+)?|prąd\w*|zuży\w+",
)

TONGUE = Tongue(
    name="Polish",
    has_decimal_comma=True,
    groups_by_spaces=True,
    function_words=frozenset(
        "na do że się jest są był była było były został została zostały dla po od przez oraz nie to ten ta jako ze we przy za który która które nasz".split()
    ),
    scales=scales(
        (r"miliard(?:ami|ach|ów|y|a|em)?|mld\.?", (9,)),
        (r"milion(?:ami|ach|ów|y|a|em)?|mln\.?", (6,)),
        (r"biliard(?:ami|ach|ów|y|a)?", (15,)),
        (r"bilion(?:ami|ach|ów|y|a|em)?|bln\.?", (12, 9)),
        (r"trylion(?:ami|ach|ów|y|a)?", (12,)),
        (r"tysi(?:ącach|ące|ąca|ąc|ęcy)|tys\.?", (3,)),
    ),
    rules=rules(_WORDS),
    labels=(
        (
            r"(?:(?:łączna )?liczba )?token(?:y|ów)(?: (?:treningowych|łącznie))?|tokeny treningowe",
            "tokens",
        ),
        (
            r"dane (?:treningowe|uczące)|korpus|(?:rozmiar|wielkość) (?:korpusu|zbioru danych|danych)",
            "training data",
        ),
        (r"(?:liczba )?parametr(?:y|ów)", "parameters"),
        (r"(?:maksymalna )?długość sekwencji", "sequence length"),
        (
            r"(?:sprzęt|infrastruktura|GPU|akceleratory|karty graficzne)(?: treningow\w+)?",
            "hardware",
        ),
        (
            r"(?:łączny )?czas (?:trwania )?(?:treningu|trenowania|uczenia|szkolenia)|czas trwania",
            "training time",
        ),
        (r"(?:łącznie )?(?:godzin[ay]? GPU|GPU-?godzin[ay]?)", "GPU hours"),
        (r"zużycie (?:energii(?: elektrycznej)?|prądu)|zużyta energia", "energy"),
        (r"precyzja(?: treningu)?", "precision"),
        (r"(?:obliczenia|moc obliczeniowa)(?: treningow\w+)?", "training compute"),
    ),
)
