"""Spanish: its words, and how it writes numbers (``european``)."""

from flopledger.logs.readers.prose.tongues.european import Words, rules, scales
from flopledger.logs.readers.prose.tongues.table import Tongue

_WORDS = Words(
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

TONGUE = Tongue(
    name="Spanish",
    has_decimal_comma=True,
    groups_by_spaces=True,
    function_words=frozenset(
        "el la los las de un una y es son fue con para por en del al que se su este esta sobre como más nuestro ha entre".split()
    ),
    scales=scales(
        (r"mil millones|millardos?", (9,)),
        (r"millones|millón|M", (6,)),
        (r"mil billones", (15,)),
        (r"billones|billón", (12, 9)),
        (r"trillones|trillón", (12,)),
        (r"mil", (3,)),
    ),
    rules=rules(_WORDS),
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
