"""Dutch: its words, and how it writes numbers (``european``).

A *miljard* is 1e9. A *biljoen* is 1e12 by the dictionary, and 1e9 where "billion" was carried over: both are named.
"""

from flopledger.logs.readers.prose.tongues.european import Words, rules, scales, verb_last
from flopledger.logs.readers.prose.tongues.table import Tongue

_WORDS = Words(
    trained=r"(?:voor|na|bij|door)?-?(?:ge)?train(?:de|den|d|t|en)|\w*training\w*|fijngesteld|afgestemd|ge(?:fine|fijn)-?tune?d",
    on="op|met|over|aan de hand van",
    data=r"\w*datasets?|\w*gegevens(?:sets?)?|\w*data|\w*corpus|\w*corpora|tekst(?:en)?",
    tokens=r"tokens?",
    parameters=r"\w*parameters?",
    of="",
    about=r"ongeveer |circa |ca\. ?|rond de |zo['’]n |bijna |ruim |in totaal |een totaal van |een |de |slechts ",
    more_than=r"meer dan|minstens|ten minste|boven de",
    not_the_figure=r"(?:actieve|geactiveerde|trainbare) parameters?|actieve?|geactiveerde?|trainbare?",
    day=r"dag(?:en)?",
    hour=r"uur|uren",
    week=r"weken|week",
    minute=r"minuten|minuut|min",
    device_hours=(
        r"{N} ?PART(?:[- ](?:GPU|NPU|TPU))?[- ](?:reken)?(?:uur|uren)(?!\w)",
        r"{N} (?:GPU|NPU|TPU)(?P<part>)[- ]?(?:reken)?(?:uur|uren)(?!\w)",
    ),
    device=r"(?:grafische |video)kaarten|GPU['’]?s?|versnellers|stuks",
    node=r"nodes?|knooppunten|rekenknopen|servers?|machines?",
    each_with=r"met (?:elk|ieder)|met|van elk|van",
    lasted=r"duurde|duurt|in|gedurende|binnen|nam|vergde|kostte|over|liep|bedroeg",
    batch=r"batch-?(?:grootte|size)",
    length=r"(?:sequentie|context|reeks)lengte|contextvenster",
    steps=r"(?:trainings?|optimalisatie)?-?stappen|iteraties|steps",
    epochs=r"epochs?|epochen|doorgangen",
    per=r"per|elke?|iedere?",
    of_which=r"waarvan|waaronder",
    respectively=r"respectievelijk|resp\.",
    all_models=r"(?:alle|beide|verschillende) (?:\w+ )?modellen|modelfamilie|modelreeks|de (?:twee|drie|vier) modellen",
    each_model=r"(?:elk|ieder)(?: van de)? model\w*",
    based_on=r"gebaseerd op|op basis van|afgeleid van|bouwt voort op|voortbouwend op|afkomstig van",
    base_model=r"(?:het|zijn|diens|ons) (?:\w+ )?(?:basis|grond|oorspronkelijke |originele )model",
    which_was=r"(?<=, )(?:dat|die|welke?)",
    other_work=r"ablatie\w*|vooronderzoek\w*|voorproe\w+|mislukt\w*|hyperparameter\w*|datageneratie|tokenizer\w*|beloningsmodel\w*",
    part_of_it=r"tussentijds\w*|tussenversie\w*|checkpoints?|(?:eerste|tweede|derde|laatste) (?:fase|stap)|tot nu toe|tot dusver",
    perhaps=(
        r"kan|kunnen|kon(?:den)?|zou(?:den)?|zal|zullen|moet(?:en)?|wil|willen|gepland\w*|plan(?:nen)?|verwacht\w*|geschatt?\w*|schatting\w*"
        r"|nodig|vereist\w*|vergt|aanbevolen|minimaal|maximaal|hoogstens|tot(?= (?:\w+ )?\d)|minder dan|als|indien|wanneer|bijvoorbeeld|bijv\.|bv\."
        r"|vergeleken|vergelijking\w*|ten opzichte|in plaats|niet|geen|nooit|inferentie|evaluatie\w*|theoretisch\w*|dan(?= (?:\w+ )?\d)|resterend\w*"
        r"|doel|streven|budget"
    ),
    energy=r"(?:stroom|energie|elektriciteits)verbruik|energie|stroom|elektriciteit|verbruikt\w*",
)

TONGUE = Tongue(
    name="Dutch",
    has_decimal_comma=True,
    groups_by_spaces=True,
    function_words=frozenset(
        "de het een en van op met voor is zijn werd werden wordt dat die in te aan bij door als onze wij ook naar over uit dit deze".split()
    ),
    scales=scales(
        (r"miljarden|miljard|mld\.?", (9,)),
        (r"miljoenen|miljoen|mln\.?", (6,)),
        (r"biljarden|biljard", (15,)),
        (r"biljoenen|biljoen|bln\.?", (12, 9)),
        (r"triljoenen|triljoen", (12,)),
        (r"duizend", (3,)),
    ),
    rules=(
        *verb_last(
            _WORDS,
            participle=r"(?:voor|na|bij|door)?-?getraind",
            out_of="uit|aan|van",
        ),
        *rules(_WORDS),
    ),
    labels=(
        (
            r"(?:(?:totaal )?aantal )?(?:training[s-]*|training )?tokens?(?: \(?(?:totaal|in totaal)\)?)?",
            "tokens",
        ),
        (
            r"training[s-]*(?:data|gegevens)|(?:omvang|grootte) van (?:de dataset|het corpus)|corpus",
            "training data",
        ),
        (r"(?:aantal )?parameters?", "parameters"),
        (r"(?:maximale )?sequentielengte", "sequence length"),
        (
            r"(?:training[s-]*)?(?:hardware|infrastructuur|versnellers|GPU['’]?s|videokaarten)",
            "hardware",
        ),
        (
            r"(?:totale )?(?:training[s-]*|voortraining[s-]*)?(?:duur|tijd)|looptijd",
            "training time",
        ),
        (r"(?:totaal (?:aantal )?)?(?:GPU|TPU|A100|H100|V100|H800)-?(?:uren|uur)", "GPU hours"),
        (r"(?:totaal )?(?:energie|stroom|elektriciteits)verbruik", "energy"),
        (r"(?:training[s-]*)?(?:precisie|nauwkeurigheid)", "precision"),
        (r"(?:training[s-]*)?rekenkracht|rekenwerk", "training compute"),
    ),
)
