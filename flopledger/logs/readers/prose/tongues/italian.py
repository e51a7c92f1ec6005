"""Italian: its words, and how it writes numbers (``european``)."""

from flopledger.logs.readers.prose.tongues.european import Words, rules, scales
from flopledger.logs.readers.prose.tongues.table import Tongue

_WORDS = Words(
    trained=r"(?:pre-?|ri)?addestra(?:t[oaie]|mento|re|ndo)|allenat[oaie]|preaddestramento|affinat[oaie]",
    on="su|con|sui|usando|utilizzando",
    data=r"insiem[ei] di dati|corpus|dati|dataset|test[oi]",
    tokens=r"tokens?",
    parameters=r"parametri",
    of=r"(?:di |d['’])?",
    about=r"circa |quasi |un totale di |oltre i |i |gli |un |una |solo |soli |all['’]incirca ",
    more_than=r"più di|oltre|almeno",
    not_the_figure=r"parametri (?:attivi|attivati|addestrabili)|attivi|attivati|addestrabili",
    day="giorn[io]",
    hour="or[ae]|h",
    week="settiman[ae]",
    minute="minut[io]|min",
    device_hours=(
        r"{N} ?(?:di )?ore?(?:[- ]di)?[- ](?:(?:GPU|NPU|TPU)(?: su | di | )?)?PART",
        r"{N} ?(?:di )?or[ae](?:[- ]di)?[- ](?:calcolo )?(?:su )?(?:GPU|NPU|TPU)(?P<part>)(?!\w)",
        r"{N} (?:GPU|NPU|TPU)[ -]or[ae](?P<part>)",
    ),
    device=r"(?:schede?(?: grafiche| video)?|GPU|acceleratori)",
    node=r"nod[io]|server|macchine",
    each_with=r"(?:con|da|di)(?: ciascuno)?",
    lasted=r"è durat[oa]|durat[oa]|per|in|ha richiesto|durante|nell['’]arco di|durata di|ha impiegato",
    batch=r"dimensione (?:del|dei|di) (?:batch|lott[oi])(?: globale)?|batch size",
    length=r"lunghezza (?:di |della |delle |del )?(?:sequenz[ae]|contesto)|finestra di contesto|lunghezza massima",
    steps=r"pass[io]|iterazioni|step",
    epochs=r"epoch[ei]|epoche|passate",
    per=r"per|ogni|al|a|ciascun[oa]?",
    of_which=r"di cui|dei quali|inclusi|compresi",
    respectively=r"rispettivamente",
    all_models=r"(?:tutti|entrambi|vari|diversi) (?:i )?(?:\w+ )?modelli|famiglia di modelli|la famiglia|i (?:due|tre|quattro) modelli",
    each_model=r"ogni modello|ciascun modello|ciascuno dei modelli",
    based_on=r"basat[oaie] su(?:l|lla)?|si basa su|a partire da(?:l|lla)?|derivat[oaie] da|costruit[oaie] su|affinat[oaie] da",
    base_model=r"(?:il|suo|del|dal) modello (?:base|di base|originale|di partenza)",
    which_was=r"che (?:è stato|era stato|fu)|(?:originariamente|precedentemente) addestrat[oa]|il quale",
    other_work=r"ablazion\w*|esperiment[oi] preliminar[ei]|fallit[oaie]|ricerca degli iperparametri|generazione de[il] dati|tokenizzatore|tokenizer|modello di ricompensa",
    part_of_it=r"intermed[ie]\w*|checkpoint|(?:prima|seconda|terza|ultima) fase|finora|per ora",
    perhaps=(
        r"può|possono|potrebbe\w*|potrà\w*|dovrebbe\w*|dovrà\w*|sarà|saranno|sarebbe\w*|previst[oaie]|prevede\w*|stima\w*|necessari[oae]?|richiede\w*|serv(?:e|ono)"
        r"|raccomanda\w*|consigliat\w*|minimo|massimo|fino a|al massimo|meno di|se|ad esempio|per esempio|rispetto|confronta\w*|contro|invece|che(?= \d)|non|mai"
        r"|inferenza|valutazion\w*|teoric[oaie]|obiettivo|rimanent[ei]"
    ),
    energy=r"consumo (?:elettrico|energetico|di energia|di elettricità)|energia|elettricità|consumat\w+|consumo",
)

TONGUE = Tongue(
    name="Italian",
    has_decimal_comma=True,
    groups_by_spaces=True,
    function_words=frozenset(
        "il lo la gli le un una e è sono stato stata con per di del della dei delle nel su che si al questo questa più nostro".split()
    ),
    scales=scales(
        (r"mila miliardi|migliaia di miliardi", (12,)),
        (r"miliard[io]|Mld\.?", (9,)),
        (r"milion[ei]|Mln\.?", (6,)),
        (r"bilion[ei]", (12, 9)),
        (r"trilion[ei]", (12,)),
        (r"mila", (3,)),
    ),
    rules=rules(_WORDS),
    labels=(
        (r"(?:numero (?:totale )?di )?token(?: (?:di addestramento|totali|visti))?", "tokens"),
        (
            r"(?:dati di addestramento|corpus|dimensione (?:del corpus|dei dati|del dataset))",
            "training data",
        ),
        (r"(?:numero di )?parametri(?: totali)?", "parameters"),
        (r"lunghezza (?:massima )?(?:di |della )?sequenza", "sequence length"),
        (r"(?:hardware|infrastruttura|GPU|acceleratori)(?: di addestramento)?", "hardware"),
        (
            r"(?:durata|tempo)(?: totale)?(?: di| dell['’])? ?(?:addestramento|calcolo)|durata",
            "training time",
        ),
        (r"ore (?:di )?GPU|GPU-ore|ore-GPU", "GPU hours"),
        (r"(?:consumo (?:elettrico|energetico|di energia)|energia(?: consumata)?)", "energy"),
        (r"precisione", "precision"),
        (r"(?:calcolo)(?: (?:totale|di addestramento))?", "training compute"),
    ),
)
