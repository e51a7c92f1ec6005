"""German, French, Spanish, Italian, Portuguese: one set of rules, and the words of each.

A *Billion* is 1e12 in German, *billones* are 1e12 in Spain and are used for 1e9 in America, *bilhões* are 1e9 in
Brazil and *biliões* 1e12 in Portugal, French *billions* are 1e12 by the dictionary and 1e9 where an English text was
translated. A word of two uses has both readings. A *trillion* on the long scale is 1e18, which no run has had of
anything, so that 1e12 is meant.
"""

from dataclasses import dataclass

from flopledger.logs.readers.prose.tongues.table import Pairs, Scale, Tongue
from flopledger.logs.readers.prose.tongues.words import BATCH, LENGTH, PART, PERHAPS

_TIME = r"(?P<unit>days|hours|weeks|minutes)"
_CLAUSE = r"[^.;:!?(?P<part>)]{0,60}?"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Words:
    """The words of one language, each a pattern."""

    trained: str  #: any form of the verb
    on: str
    data: str
    tokens: str
    parameters: str
    of: str  #: between a number and its noun
    about: str
    more_than: str
    not_the_figure: str  #: of the parameters: active, trainable
    day: str
    hour: str
    week: str
    minute: str
    device_hours: tuple[str, ...]  #: with ``{N}`` and ``(?P<part>...)``
    device: str
    node: str
    each_with: str
    lasted: str
    batch: str
    length: str
    steps: str
    epochs: str
    per: str
    of_which: str
    respectively: str
    all_models: str
    each_model: str
    based_on: str
    base_model: str
    which_was: str
    other_work: str
    part_of_it: str
    perhaps: str
    energy: str


def _rules(words: _Words) -> Pairs:
    part, of = rf"(?P<part>{PART})", words.of
    about = rf"(?:{words.about})*"
    return (
        (rf"{{N}} ?{of}(?:{words.tokens})(?!\w)", r"\g<n> tokens"),
        *(
            (pattern.replace("PART", part), r"\g<n> \g<part> GPU hours")
            for pattern in words.device_hours
        ),
        (
            rf"(?<!\w)(?:{words.more_than}) (?={{N}} (?:tokens|(?:{PART} )? ?GPU hours))",
            "more than ",
        ),
        (rf"{{N}} ?{of}(?:{words.day})(?!\w)", r"\g<n> days"),
        (rf"{{N}} ?{of}(?:{words.week})(?!\w)", r"\g<n> weeks"),
        (rf"{{N}} ?{of}(?:{words.hour})(?!\w)", r"\g<n> hours"),
        (rf"{{N}} ?{of}(?:{words.minute})(?!\w)", r"\g<n> minutes"),
        (rf"{{N}} ?{of}(?:{words.not_the_figure})(?!\w)", "a part of them"),
        (
            rf"{{N}} ?{of}(?:{words.parameters})(?: (?:{words.not_the_figure}))(?!\w)",
            "a part of them",
        ),
        (rf"{{N}} ?{of}(?:{words.parameters})(?!\w)", r"\g<n> parameters"),
        (rf"(?<!\w)(?:{words.energy})(?!\w)", "energy"),
        (
            rf"{{N}} (?:{words.node})(?!\w)(?:,)? ?(?:{words.each_with}) {{M}} (?={PART}|GPU)",
            r"\g<n> nodes with \g<m> ",
        ),
        (rf"{{N}} (?:{words.node})(?!\w)", r"\g<n> nodes"),
        (rf"{{N}} ?{of}(?:{words.device}) (?={PART})", r"\g<n> "),
        (
            rf"(?<!\w)(?:{words.per}) (?={{N}}|days|(?:{words.day}|{words.hour}|{words.week}|{words.steps}|{words.epochs}"
            rf"|{words.device}|{words.node}|Billion|Milliard|tokens?)(?!\w))",
            "per ",
        ),
        (
            rf"(?<!\w)(?:{words.trained})(?!\w){_CLAUSE}(?<!\w)(?:{words.on}) {about}(?P<q>more than )?{{N}} tokens"
            rf"(?!(?: {of})? ?(?:{words.data}))",
            r"trained on \g<q>\g<n> tokens",
        ),
        (rf"(?<!\w)(?:{words.lasted}) {about}(?={{N}} {_TIME})", "during "),
        (rf"(?<!\w)(?:{words.batch})(?!\w)[ :=]*(?:{of}|{words.about})*(?={{N}})", BATCH),
        (rf"(?<!\w)(?:{words.length})(?!\w)[ :=]*(?:{of}|{words.about})*(?={{N}})", LENGTH),
        (rf"{{N}} ?{of}(?:{words.steps})(?!\w)", r"\g<n> steps"),
        (rf"{{N}} ?{of}(?:{words.epochs})(?!\w)", r"\g<n> epochs"),
        (rf"(?<!\w)(?:{words.of_which})(?!\w)", "of which"),
        (rf"(?<!\w)(?:{words.respectively})(?!\w)", "respectively"),
        (rf"(?<!\w)(?:{words.each_model})(?!\w)", "each model"),
        (rf"(?<!\w)(?:{words.all_models})(?!\w)", "all models"),
        (rf"(?<!\w)(?:{words.base_model})(?!\w)", "the base model was"),
        (rf"(?<!\w)(?:{words.based_on})(?!\w)", "based on"),
        (rf"(?<!\w)(?:{words.which_was})(?!\w)", "which was"),
        (rf"(?<!\w)(?:{words.other_work})", "ablation "),
        (rf"(?<!\w)(?:{words.part_of_it})(?!\w)", "intermediate"),
        (rf"(?<!\w)(?:{words.perhaps})(?!\w)", PERHAPS),
        (rf"(?<!\w)(?:{words.data})(?!\w)", "corpus"),
        (rf"(?<!\w)(?:{words.trained})(?!\w)", "trains"),
    )


def _compact(*pairs: tuple[str, tuple[int, ...]]) -> tuple[Scale, ...]:
    return tuple(Scale(word=word, readings=readings) for word, readings in pairs)


_GERMAN = _Words(
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

_FRENCH = _Words(
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

_SPANISH = _Words(
    trained=r"(?:pre-?|re)?entren(?:ad[oa]s?|amiento|ar|ó|amos)|ajustad[oa]s?|afinad[oa]s?|preentrenamiento",
    on="con|sobre|en|usando|utilizando",
    data=r"conjuntos? de datos|corpus|datos|textos?|dataset",
    tokens=r"tokens?",
    parameters=r"parámetros?",
    of=r"(?:de )?",
    about=r"aproximadamente |alrededor de |cerca de |unos |unas |casi |un total de |total |más o menos |los |solo |sólo ",
    more_than=r"más de|al menos|por encima de",
    not_the_figure=r"parámetros (?:activos|activados|entrenables)|activos|activados|entrenables",
    day="días?",
    hour="horas?|h",
    week="semanas?",
    minute="minutos?|min",
    device_hours=(
        r"{N} ?(?:de )?horas?(?:[- ]de)?[- ](?:(?:GPU|NPU|TPU)s?(?: en | de | )?)?PART",
        r"{N} ?(?:de )?horas?(?:[- ]de)?[- ](?:cómputo |cálculo )?(?:en |de )?(?:GPU|NPU|TPU)(?P<part>)s?(?!\w)",
        r"{N} (?:GPU|NPU|TPU)[ -]horas?(?P<part>)",
    ),
    device=r"(?:tarjetas?(?: gráficas?)?|GPUs?|aceleradoras?|aceleradores)(?: de tipo)?",
    node=r"nodos?|servidores|máquinas?",
    each_with=r"(?:con|de)(?: cada uno)?",
    lasted=r"duró|tardó|durante|en|llevó|tomó|a lo largo de|requirió|duración de|por",
    batch=r"tamaño de(?:l)? (?:lote|batch)(?: global)?|batch size",
    length=r"longitud (?:de |del )?(?:secuencias?|contexto)|ventana de contexto|longitud máxima",
    steps=r"pasos?|iteraciones|steps",
    epochs=r"épocas?|epochs?|pasadas?",
    per=r"por|cada",
    of_which=r"de los cuales|de los que|entre ellos|incluyendo|incluidos",
    respectively=r"respectivamente",
    all_models=r"(?:todos|ambos|varios) (?:los )?(?:\w+ )?modelos|familia de modelos|la familia|los (?:dos|tres|cuatro|cinco) modelos",
    each_model=r"cada modelo|cada uno de los modelos",
    based_on=r"basad[oa]s? en|se basa en|parte (?:de|del)|a partir de(?:l)?|derivad[oa]s? de|adaptación específica del?|construid[oa]s? sobre|ajustad[oa]s? (?:de|desde)",
    base_model=r"(?:el|su|del) modelo (?:base|original|de base|padre)",
    which_was=r"que (?:fue|había sido|ha sido)|(?:originalmente|previamente) entrenad[oa]|el cual fue",
    other_work=r"ablaci[oó]n\w*|experimentos? preliminares?|fallid[oa]s?|búsqueda de hiperparámetros|generación de(?: los)? datos|tokenizador|modelo de recompensa",
    part_of_it=r"intermedi[oa]s?|checkpoints?|(?:primera|segunda|tercera|última) (?:fase|etapa)|hasta ahora|por ahora",
    perhaps=(
        r"puede[ns]?|podr[ií]a\w*|podemos|deber[ií]a\w*|ser[aá]n?|ser[ií]a\w*|previst[oa]s?|planea\w*|estima\w*|necesari[oa]s?|necesita\w*|requiere[ns]?"
        r"|recomienda\w*|recomendad[oa]s?|mínimo|máximo|hasta|a lo sumo|menos de|si|por ejemplo|p\. ?ej\.|compara\w+|frente a|en lugar|que(?= \d)|no|nunca"
        r"|inferencia|evaluación\w*|teóric[oa]s?|objetivo|restantes?|presupuesto|suponiendo|asumiendo"
    ),
    energy=r"consumo (?:eléctrico|energético|de energía|de electricidad)|energía|electricidad|consumi\w+|consumo",
)

_ITALIAN = _Words(
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

_PORTUGUESE = _Words(
    trained=r"(?:pré-?|re)?-?trein(?:ad[oa]s?|amento|ar|amos|ou)|ajustad[oa]s?|pré-?treinamento|treino",
    on="com|sobre|em|usando|utilizando|num total de",
    data=r"conjuntos? de dados|corpus|dados|textos?|dataset",
    tokens=r"tokens?",
    parameters=r"parâmetros?",
    of=r"(?:de )?",
    about=r"aproximadamente |cerca de |por volta de |quase |um total de |uns |umas |os |apenas |só ",
    more_than=r"mais de|mais do que|pelo menos|ao menos|acima de",
    not_the_figure=r"parâmetros (?:ativos|ativados|treináveis)|ativos|ativados|treináveis",
    day="dias?",
    hour="horas?|h",
    week="semanas?",
    minute="minutos?|min",
    device_hours=(
        r"{N} ?(?:de )?horas?(?:[- ]de)?[- ](?:(?:GPU|NPU|TPU)s?(?: em | de | )?)?PART",
        r"{N} ?(?:de )?horas?(?:[- ]de)?[- ](?:computação |cálculo )?(?:em |de )?(?:GPU|NPU|TPU)(?P<part>)s?(?!\w)",
        r"{N} (?:GPU|NPU|TPU)[ -]horas?(?P<part>)",
    ),
    device=r"(?:placas?(?: gráficas?| de vídeo)?|GPUs?|aceleradores)(?: do tipo)?",
    node=r"nós|nodos?|servidores|máquinas?",
    each_with=r"(?:com|de)(?: cada)?",
    lasted=r"durou|levou|durante|em|ao longo de|por|demorou|exigiu|duração de",
    batch=r"tamanho (?:do|de) (?:lote|batch)(?: global)?|batch size",
    length=r"comprimento (?:de |da |do |das )?(?:sequências?|contexto)|janela de contexto|comprimento máximo",
    steps=r"passos?|etapas|iterações|steps",
    epochs=r"épocas?|epochs?|passagens",
    per=r"por|cada",
    of_which=r"dos quais|das quais|incluindo|sendo",
    respectively=r"respectivamente|respetivamente",
    all_models=r"(?:todos|ambos|vários) (?:os )?(?:\w+ )?modelos|família de modelos|a família|os (?:dois|três|quatro) modelos",
    each_model=r"cada modelo|cada um dos modelos",
    based_on=r"basead[oa]s? em|baseia-se em|se baseia em|a partir d[eoa]|derivad[oa]s? d[eoa]|construíd[oa]s? sobre|ajustad[oa]s? a partir d[eoa]|parte d[eoa]",
    base_model=r"(?:o|seu|do) modelo (?:base|original|de base)",
    which_was=r"que (?:foi|havia sido|tinha sido)|(?:originalmente|previamente) treinad[oa]|o qual foi",
    other_work=r"ablaç\w*|experimentos? preliminares?|falh(?:ou|ad[oa]s?)|busca de hiperparâmetros|geração d[eo]s? dados|tokenizador|modelo de recompensa",
    part_of_it=r"intermediári[oa]s?|intermédi[oa]s?|checkpoints?|(?:primeira|segunda|terceira|última) (?:fase|etapa)|até agora",
    perhaps=(
        r"pode[m]?|poderia\w*|poderá\w*|deve\w*|será|serão|seria\w*|previst[oa]s?|planeja\w*|estima\w*|necessári[oa]s?|precisa\w*|requer\w*|exige\w*"
        r"|recomenda\w*|mínimo|máximo|até|no máximo|menos de|se|por exemplo|compara\w+|contra|em vez|que(?= \d)|não|nunca"
        r"|inferência|avaliaç\w*|teóric[oa]s?|objetivo|restantes?|orçamento|meta"
    ),
    energy=r"consumo (?:elétrico|energético|de energia|de eletricidade)|energia|eletricidade|consumi\w+|consumo",
)

GERMAN = Tongue(
    name="German",
    has_decimal_comma=True,
    groups_by_spaces=True,
    function_words=frozenset(
        "der die das und wurde wurden auf mit von für ist sind ein eine einer eines einem im dem den des zu nach über als bei es wir unser".split()
    ),
    scales=_compact(
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
        *(
            (
                r"{N} Tokens?(?: \w+){0,3} (?P<verb>(?:vor|nach|weiter)?-?trainiert)",
                r"\g<n> tokens \g<verb>",
            ),
            (
                r"(?<!\w)(?:auf|mit|anhand von|über) (?:etwa |rund |ca\. ?|circa |ungefähr |insgesamt |knapp )*"
                r"(?P<q>mehr als |über )?{N} Tokens?(?! (?:aus|an) )(?: (?:\w+ ){0,4})?(?<= )(?:vor|nach|weiter)?-?trainiert",
                r"trained on \g<q>\g<n> tokens",
            ),
            (r"(?<=trained on )(?:mehr als|über)", "more than"),
        ),
        *_rules(_GERMAN),
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
FRENCH = Tongue(
    name="French",
    has_decimal_comma=True,
    groups_by_spaces=True,
    function_words=frozenset(
        "le la les de des du un une et est sont sur avec pour dans qui que par au aux ce cette nous notre été il elle en à d l".split()
    ),
    scales=_compact(
        (r"mill(?:iers|e) de milliards?", (12,)),
        (r"milliards?|Md[s]?", (9,)),
        (r"millions?", (6,)),
        (r"billiards?", (15,)),
        (r"billions?", (12, 9)),
        (r"trillions?", (12,)),
        (r"mill(?:iers|e)", (3,)),
    ),
    rules=_rules(_FRENCH),
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
SPANISH = Tongue(
    name="Spanish",
    has_decimal_comma=True,
    groups_by_spaces=True,
    function_words=frozenset(
        "el la los las de un una y es son fue con para por en del al que se su este esta sobre como más nuestro ha entre".split()
    ),
    scales=_compact(
        (r"mil millones|millardos?", (9,)),
        (r"millones|millón|M", (6,)),
        (r"mil billones", (15,)),
        (r"billones|billón", (12, 9)),
        (r"trillones|trillón", (12,)),
        (r"mil", (3,)),
    ),
    rules=_rules(_SPANISH),
    labels=(
        (r"(?:número (?:total )?de )?tokens(?: (?:de entrenamiento|totales|vistos))?", "tokens"),
        (
            r"(?:datos de entrenamiento|corpus|tamaño (?:del corpus|de los datos|del conjunto de datos))",
            "training data",
        ),
        (r"(?:número de )?parámetros(?: totales)?", "parameters"),
        (r"longitud (?:máxima )?(?:de |de la )?secuencia", "sequence length"),
        (
            r"(?:hardware|infraestructura|GPUs?|aceleradores)(?: de entrenamiento| utilizado)?",
            "hardware",
        ),
        (
            r"(?:duración|tiempo)(?: total)?(?: del?)? (?:entrenamiento|cómputo|preentrenamiento)|duración",
            "training time",
        ),
        (r"horas (?:de )?GPU|GPU-horas", "GPU hours"),
        (
            r"(?:consumo (?:eléctrico|energético|de energía)|energía(?: (?:total )?consumida)?)",
            "energy",
        ),
        (r"precisión", "precision"),
        (r"(?:cómputo|cálculo)(?: (?:total|de entrenamiento))?", "training compute"),
    ),
)
ITALIAN = Tongue(
    name="Italian",
    has_decimal_comma=True,
    groups_by_spaces=True,
    function_words=frozenset(
        "il lo la gli le un una e è sono stato stata con per di del della dei delle nel su che si al questo questa più nostro".split()
    ),
    scales=_compact(
        (r"mila miliardi|migliaia di miliardi", (12,)),
        (r"miliard[io]|Mld\.?", (9,)),
        (r"milion[ei]|Mln\.?", (6,)),
        (r"bilion[ei]", (12, 9)),
        (r"trilion[ei]", (12,)),
        (r"mila", (3,)),
    ),
    rules=_rules(_ITALIAN),
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
PORTUGUESE = Tongue(
    name="Portuguese",
    has_decimal_comma=True,
    groups_by_spaces=True,
    function_words=frozenset(
        "o a os as de um uma e é são foi com para por em do da dos das no na que se seu este esta sobre como mais nosso ao".split()
    ),
    scales=_compact(
        (r"mil milhões|bilhões|bilhão|bi", (9,)),
        (r"milhões|milhão|mi", (6,)),
        (r"biliões|bilião", (12, 9)),
        (r"trilhões|trilhão|tri|triliões|trilião", (12,)),
        (r"mil", (3,)),
    ),
    rules=_rules(_PORTUGUESE),
    labels=(
        (
            r"(?:número (?:total )?de )?tokens(?: (?:de treinamento|de treino|totais|vistos))?",
            "tokens",
        ),
        (
            r"(?:dados de trein(?:amento|o)|corpus|tamanho (?:do corpus|dos dados|do conjunto de dados))",
            "training data",
        ),
        (r"(?:número de )?parâmetros(?: totais)?", "parameters"),
        (r"comprimento (?:máximo )?(?:de |da )?sequência", "sequence length"),
        (
            r"(?:hardware|infraestrutura|GPUs?|aceleradores)(?: de trein(?:amento|o)| utilizado)?",
            "hardware",
        ),
        (
            r"(?:duração|tempo)(?: total)?(?: do?e?)? (?:trein(?:amento|o)|computação)|duração",
            "training time",
        ),
        (r"horas (?:de )?GPU|GPU-horas", "GPU hours"),
        (r"(?:consumo (?:elétrico|energético|de energia)|energia(?: consumida)?)", "energy"),
        (r"precisão", "precision"),
        (r"(?:computação|cálculo)(?: (?:total|de treinamento))?", "training compute"),
    ),
)
TONGUES = (GERMAN, FRENCH, SPANISH, ITALIAN, PORTUGUESE)
