"""German: its words, and how it writes numbers (``european``)."""

from flopledger.logs.readers.prose.tongues.european import Words, rules, scales, verb_last
from flopledger.logs.readers.prose.tongues.table import Tongue

_WORDS = Words(
    trained=r"(?:vor|nach|weiter|fein)?-?(?:ge)?train(?:iert\w*|ieren)|(?:Vor|Nach)?-?Training\w*|Feinabstimmung|angelernt",
    on="auf|mit|anhand von|über",
    data=r"\w*[Dd]atens[aä]tz\w*|\w*[Dd]aten|\w*[Kk]orpus|\w*[Kk]orpora|Text(?:en|e)?",
    tokens=r"Tokens?",
    parameters=r"\w*[Pp]arametern?",
    of="",
    about=r"etwa |rund |ca\. ?|circa |ungefähr |insgesamt |einem? |knapp |gut |über die |den |nur ",
    more_than=r"mehr als|über|mindestens",
    not_the_figure=r"aktive[nr]? Parametern?|trainierbare[nr]? Parametern?|aktiv(?:en|iert\w*)?",
    day="Tage?n?",
    hour="Stunden?|Std\\.?",
    week="Wochen?",
    minute="Minuten?",
    device_hours=(
        r"{N} ?PART(?:[- ](?:GPU|NPU|TPU))?[- ](?:Rechen)?(?:Stunden?|h)(?!\w)",
        r"{N} (?:GPU|NPU|TPU)(?P<part>)-?(?:Rechen)?[Ss]tunden",
    ),
    device=r"(?:Grafik|Beschleuniger)karten|GPUs?|Beschleunigern?|Stück",
    node=r"Knoten|Servern?|Rechenknoten|Maschinen",
    each_with=r"mit (?:jeweils|je)|mit|zu je|à",
    lasted=r"dauerte|in|innerhalb von|über|für|während|benötigte|lief|betrug",
    batch=r"Batch-?(?:größe|size)|Stapelgröße",
    length=r"(?:Sequenz|Kontext)länge|Kontextfenster",
    steps=r"(?:Trainings|Optimierungs)?-?[Ss]chritten?|Iterationen|Steps",
    epochs=r"Epochen?|Durchläufen?",
    per=r"pro|je|jede[rsn]?|alle",
    of_which=r"davon|darunter|wovon",
    respectively=r"beziehungsweise|bzw\.|respektive",
    all_models=r"alle (?:\w+ )?Modelle|beide (?:\w+ )?Modelle|Modellfamilie|Modellreihe|sämtliche Modelle|insgesamt für alle",
    each_model=r"jedes (?:der )?Modell\w*",
    based_on=r"basier\w+ auf|auf Basis von|auf der Basis von|auf Grundlage von|abgeleitet von|aufbauend auf|beruht auf",
    base_model=r"(?:das|sein|dessen|ihr) (?:\w+ )?(?:Basis|Ausgangs|Original|Grund)modell",
    which_was=r"(?<=, )(?:das|die|der|welche[sr]?)",
    other_work=r"Ablation\w*|Vorversuch\w*|fehlgeschlagen\w*|Hyperparameter-?[Ss]uche|Datengenerierung|Tokenizer\w*|Belohnungsmodell\w*",
    part_of_it=r"Zwischen(?:stand|stände|version\w*|checkpoint\w*)|Checkpoints?|(?:ersten|zweiten|dritten|letzten) (?:Phase|Stufe)|bisher|bislang",
    perhaps=(
        r"könnt?en?|kann|könnten?|würden?|sollt?en?|soll|will|wollen|geplant\w*|plan(?:en|t)|voraussichtlich|geschätzt\w*|Schätzung\w*"
        r"|erforderlich|benötigt|braucht|nötig|empfohlen|empfehl\w+|mindestens|höchstens|maximal|bis zu|unter|weniger als|wenn|falls"
        r"|zum Beispiel|z\. ?B\.|beispielsweise|Vergleich\w*|verglichen|gegenüber|statt|nicht|kein\w*|Inferenz|Auswertung|Evaluierung"
        r"|theoretisch\w*|als(?= (?:\w+ )?{N})|verbleibend\w*|Ziel"
    ).replace("{N}", r"\d[\d.,]*"),
    energy=r"(?:Strom|Energie)(?:verbrauch\w*|bedarf)|Energie|Strom|elektrische Energie|verbraucht\w*",
)

TONGUE = Tongue(
    name="German",
    has_decimal_comma=True,
    groups_by_spaces=True,
    function_words=frozenset(
        "der die das und wurde wurden auf mit von für ist sind ein eine einer eines einem im dem den des zu nach über als bei es wir unser".split()
    ),
    scales=scales(
        (r"Milliarden?|Mrd\.?", (9,)),
        (r"Million(?:en)?|Mio\.?", (6,)),
        (r"Billiarden?", (15,)),
        # 7 Billionen Parameter is what "7 billion parameters" became where nobody looked.
        (r"Billion(?:en)?(?= \w*Parameter)|Bio\.?(?= \w*Parameter)", (12, 9)),
        (r"Billion(?:en)?|Bio\.?", (12,)),
        (r"Trillion(?:en)?", (12,)),
        (r"Tausend|Tsd\.?", (3,)),
    ),
    rules=(
        *verb_last(_WORDS, participle=r"(?:vor|nach|weiter)?-?trainiert", out_of="aus|an"),
        *rules(_WORDS),
    ),
    labels=(
        (
            r"(?:Anzahl (?:der )?)?(?:Trainings-?|Gesamt-?)?Tokens?(?:anzahl|zahl)?(?: \(?(?:gesamt|insgesamt)\)?)?",
            "tokens",
        ),
        (r"Trainingsdaten(?:menge)?|Daten(?:menge|satzgröße)|Korpus(?:größe)?", "training data"),
        (r"(?:Anzahl (?:der )?)?Parameter(?:anzahl|zahl)?", "parameters"),
        (r"(?:maximale )?Sequenzlänge", "sequence length"),
        (
            r"(?:Trainings-?)?(?:Hardware|Rechner|Infrastruktur|Beschleuniger|GPUs|Grafikkarten)",
            "hardware",
        ),
        (
            r"(?:Gesamt-?)?(?:Trainings-?|Vortrainings-?)(?:dauer|zeit)|Dauer|Laufzeit",
            "training time",
        ),
        (r"(?:Gesamt-?)?(?:GPU|TPU|A100|H100|V100|H800)-?(?:Rechen)?stunden", "GPU hours"),
        (r"(?:Gesamt-?)?(?:Energie|Strom)(?:verbrauch|bedarf)", "energy"),
        (r"(?:Trainings-?)?(?:Genauigkeit|Präzision)", "precision"),
        (
            r"(?:Trainings-?)?(?:Rechenaufwand|Rechenleistung|Gleitkommaoperationen)",
            "training compute",
        ),
    ),
)
