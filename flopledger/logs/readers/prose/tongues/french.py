"""French: its words, and how it writes numbers (``european``)."""

from flopledger.logs.readers.prose.tongues.european import Words, rules, scales
from flopledger.logs.readers.prose.tongues.table import Tongue

_WORDS = Words(
    trained=r"(?:pré-?|ré-?)?entra[iî]n(?:ée?s?|er|ement\w*|é)|affiné\w*|apprentissage|pré-?entra[iî]nement",
    on="sur|avec|à partir de",
    data=r"jeux? de données|corpus|données|ensembles? de données|textes?",
    tokens=r"tokens?|jetons?",
    parameters=r"paramètres?",
    of=r"(?:de |d['’])?",
    about=r"environ |près de |un total de |quelque |au total |un peu |les |une? |seulement ",
    more_than=r"plus de|au moins|au-delà de",
    not_the_figure=r"paramètres (?:actifs|activés|entraînables)|actifs|activés|entraînables",
    day="jours?",
    hour="heures?|h",
    week="semaines?",
    minute="minutes?|min",
    device_hours=(
        r"{N} ?(?:d['’])?heures?[- ](?:de |de calcul |de calcul sur )?(?:(?:GPU|NPU|TPU)s?(?: de type | sur | )?)?PART",
        r"{N} ?(?:d['’])?heures?[- ](?:de )?(?:calcul )?(?:sur )?(?:GPU|NPU|TPU)(?P<part>)s?(?!\w)",
        r"{N} (?:GPU|NPU|TPU)[ -]heures?(?P<part>)",
    ),
    device=r"(?:cartes?(?: graphiques?)?|GPUs?|accélérateurs?|processeurs?)",
    node=r"nœuds?|noeuds?|serveurs?|machines?",
    each_with=r"(?:de|avec|comportant|équipés de|comprenant)(?: chacun)?",
    lasted=r"a duré|ont duré|pendant|en|durant|a pris|a nécessité|a demandé|durée de|sur",
    batch=r"taille (?:de|du) (?:lots?|batch)(?: globale?)?|batch size",
    length=r"longueur (?:de |des )?(?:séquences?|contexte)|fenêtre de contexte|séquences? de",
    steps=r"étapes?|pas|itérations?|steps",
    epochs=r"époques?|epochs?|passes?",
    per=r"par|chaque|toutes les|tous les",
    of_which=r"dont",
    respectively=r"respectivement",
    all_models=r"(?:tous|toutes|l['’]ensemble des|les deux|plusieurs) (?:les )?(?:\w+ )?(?:modèles|versions)|famille de modèles|la famille|la gamme",
    each_model=r"chaque modèle|chacun des modèles",
    based_on=r"basée?s? sur|fondée?s? sur|dérivée?s? de|affinée?s? à partir de|construit\w* sur|à partir du modèle|issue?s? de|repose sur",
    base_model=r"(?:le|son|du|ce) modèle (?:de base|d['’]origine|original|parent|sous-jacent)",
    which_was=r"qui (?:a été|avait été|était)|lui-même|lequel",
    other_work=r"ablation\w*|balayage|expériences? préliminaires?|échou\w+|recherche d['’]hyperparamètres|génération (?:de|des) données|tokeni[sz]er|tokeniseur|modèle de récompense",
    part_of_it=r"intermédiaires?|checkpoints?|(?:première|deuxième|seconde|troisième|dernière) (?:phase|étape)|jusqu['’]ici|pour l['’]instant",
    perhaps=(
        r"peut|peuvent|pourra\w*|pourrai\w+|devra\w*|devrai\w+|sera\w*|serai\w+|prévu\w*|prévoi\w*|estim\w+|nécessaires?|requi\w+|requiert|faut"
        r"|faudra\w*|recommand\w+|minimum|maximum|jusqu['’]à|au plus|moins de|si|par exemple|p\. ?ex\.|compar\w+|contre|au lieu|que(?= \d)|pas|jamais"
        r"|inférence|évaluation\w*|théorique\w*|objectif|restants?|écart|face à|versus|budget|plan|donne|donnerait"
    ),
    energy=r"consommation (?:électrique|énergétique|d['’]énergie|d['’]électricité)|énergie|électricité|consommé\w*|consommation",
)

TONGUE = Tongue(
    name="French",
    has_decimal_comma=True,
    groups_by_spaces=True,
    function_words=frozenset(
        "le la les de des du un une et est sont sur avec pour dans qui que par au aux ce cette nous notre été il elle en à d l".split()
    ),
    scales=scales(
        (r"mill(?:iers|e) de milliards?", (12,)),
        (r"milliards?|Md[s]?", (9,)),
        (r"millions?", (6,)),
        (r"billiards?", (15,)),
        (r"billions?", (12, 9)),
        (r"trillions?", (12,)),
        (r"mill(?:iers|e)", (3,)),
    ),
    rules=rules(_WORDS),
    labels=(
        (
            r"(?:nombre (?:total )?de )?(?:tokens|jetons)(?: (?:d['’]entraînement|vus|au total))?",
            "tokens",
        ),
        (r"(?:données d['’]entraînement|corpus|taille (?:du corpus|des données))", "training data"),
        (r"(?:nombre de )?paramètres", "parameters"),
        (r"longueur (?:maximale )?(?:de |des )?séquences?", "sequence length"),
        (
            r"(?:matériel|infrastructure|GPUs?|accélérateurs?|matériel d['’]entraînement)",
            "hardware",
        ),
        (
            r"(?:durée|temps) (?:total(?:e)? )?(?:d['’]entraînement|de calcul|du pré-?entraînement|de l['’]entraînement)|durée",
            "training time",
        ),
        (r"heures(?: de calcul)?(?: de)? GPU|heures-GPU|GPU-heures", "GPU hours"),
        (
            r"(?:consommation (?:électrique|énergétique|d['’]énergie)|énergie(?: consommée)?)",
            "energy",
        ),
        (r"précision", "precision"),
        (
            r"(?:calcul|puissance de calcul|opérations)(?: d['’]entraînement| total(?:es)?)?",
            "training compute",
        ),
    ),
)
