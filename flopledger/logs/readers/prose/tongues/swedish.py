"""Swedish: its words, and how it writes numbers (``european``).

A *miljard* is 1e9. A *biljon* is 1e12 by the dictionary, and 1e9 where "billion" was carried over: both are named.
"""

from flopledger.logs.readers.prose.tongues.european import Words, rules, scales
from flopledger.logs.readers.prose.tongues.table import Tongue

_WORDS = Words(
    trained=r"(?:för|efter|fin|vidare|om)?-?trän(?:ades|ade|ad|ats|at|as|a|ing\w*)|\w*träning\w*|finjuster\w+",
    on="på|med hjälp av|med|över",
    data=r"\w*dataset\w*|\w*datamängd\w*|\w*data|\w*korpus\w*|text(?:er)?",
    tokens=r"tokens?|tokenar",
    parameters=r"\w*parametrar|\w*parameters?",
    of="",
    about=r"cirka |ca\.? |ungefär |omkring |runt |nästan |totalt |sammanlagt |drygt |knappt |de |bara |endast ",
    more_than=r"mer än|fler än|över|minst|åtminstone",
    not_the_figure=r"(?:aktiva|träningsbara) parametrar|aktiva|träningsbara",
    day=r"dag(?:ar)?|dygn",
    hour=r"timm(?:ar|e)|tim",
    week=r"veck(?:or|a)",
    minute=r"minut(?:er)?|min",
    device_hours=(
        r"{N} ?PART(?:[- ](?:GPU|NPU|TPU))?[- ](?:beräknings)?timm(?:ar|e)(?!\w)",
        r"{N} (?:GPU|NPU|TPU)(?P<part>)[- ]?(?:beräknings)?timm(?:ar|e)(?!\w)",
    ),
    device=r"grafikkort|GPU(?::er|er|s)?|acceleratorer|stycken|st",
    node=r"noder|nod|servrar|server|maskiner",
    each_with=r"med vardera|med|à",
    lasted=r"varade|tog|under|på|i|inom|krävde|pågick",
    batch=r"batch-?storlek(?:en)?|batch size",
    length=r"(?:sekvens|kontext)längd(?:en)?|kontextfönst\w+",
    steps=r"(?:tränings|optimerings)?-?steg|iterationer",
    epochs=r"epoker|epok|epochs?",
    per=r"per|varje",
    of_which=r"varav|däribland",
    respectively=r"respektive",
    all_models=r"(?:alla|båda|samtliga) (?:\w+ )?modeller\w*|modellfamilj\w*|modellserie\w*",
    each_model=r"varje modell|var och en av modellerna",
    based_on=r"baserad\w* på|bygger på|härledd\w* från|utgår från",
    base_model=r"(?:dess|sin|den) (?:\w+ )?(?:bas|grund|original)modell\w*",
    which_was=r"(?<=, )(?:som|vilken|vilket)",
    other_work=r"ablation\w*|förförsök\w*|misslycka\w*|hyperparameter\w*|datagenerering\w*|tokeniserar\w*|tokenizer\w*|belöningsmodell\w*",
    part_of_it=r"mellanliggande|mellanversion\w*|checkpoints?|kontrollpunkt\w*|(?:första|andra|tredje|sista) (?:fas|steg)\w*|hittills",
    perhaps=(
        r"kan|kunde|skulle|ska|skall|kommer att|bör|borde|måste|planera\w*|uppskatta\w*|beräknas|krävs|kräver|behöv\w+|rekommender\w*|minst|högst|maximalt"
        r"|upp till|mindre än|färre än|om(?= (?:vi|man|du|den|det|modellen)(?!\w))|ifall|till exempel|t\.ex\.|jämför\w*|i ?stället|inte|ing(?:a|en|et)|aldrig"
        r"|inferens|utvärdering\w*|teoretisk\w*|än(?= (?:\w+ )?\d)|återståend\w*|mål(?:et)?|budget\w*"
    ),
    energy=r"(?:el|energi|ström)förbrukning\w*|energi\w*|elektricitet|förbruka\w*",
)

TONGUE = Tongue(
    name="Swedish",
    has_decimal_comma=True,
    groups_by_spaces=True,
    function_words=frozenset(
        "och att det är som en ett på med för av till har var inte den de från om vi vår under över samt detta denna".split()
    ),
    scales=scales(
        (r"miljarder|miljard|mdr\.?", (9,)),
        (r"miljoner|miljon|milj\.?|mn", (6,)),
        (r"biljarder|biljard", (15,)),
        (r"biljoner|biljon", (12, 9)),
        (r"triljoner|triljon", (12,)),
        (r"tusen", (3,)),
    ),
    rules=rules(_WORDS),
    labels=(
        (r"(?:(?:totalt )?antal )?(?:tränings)?-?tokens?(?: \(?totalt\)?)?", "tokens"),
        (r"träningsdata(?:mängd)?|korpus(?:storlek)?|datamängd", "training data"),
        (r"(?:antal )?parametrar", "parameters"),
        (r"(?:maximal )?sekvenslängd", "sequence length"),
        (r"(?:tränings)?(?:hårdvara|infrastruktur|acceleratorer|grafikkort|GPU:er)", "hardware"),
        (r"(?:total )?(?:förtränings|tränings)(?:tid|längd)|varaktighet", "training time"),
        (r"(?:totalt )?(?:GPU|TPU|A100|H100|V100|H800)-?timmar", "GPU hours"),
        (r"(?:total )?(?:energi|el|ström)förbrukning", "energy"),
        (r"(?:tränings)?precision", "precision"),
        (r"beräknings(?:mängd|kraft)|beräkningar", "training compute"),
    ),
)
