"""Portuguese: its words, and how it writes numbers (``european``)."""

from flopledger.logs.readers.prose.tongues.european import Words, rules, scales
from flopledger.logs.readers.prose.tongues.table import Tongue

_WORDS = Words(
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

TONGUE = Tongue(
    name="Portuguese",
    has_decimal_comma=True,
    groups_by_spaces=True,
    function_words=frozenset(
        "o a os as de um uma e é são foi com para por em do da dos das no na que se seu este esta sobre como mais nosso ao".split()
    ),
    scales=scales(
        (r"mil milhões|bilhões|bilhão|bi", (9,)),
        (r"milhões|milhão|mi", (6,)),
        (r"biliões|bilião", (12, 9)),
        (r"trilhões|trilhão|tri|triliões|trilião", (12,)),
        (r"mil", (3,)),
    ),
    rules=rules(_WORDS),
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
