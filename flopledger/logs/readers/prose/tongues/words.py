"""Words that rules of several languages share: names of parts, and what the guards of English are called."""

#: How a part's name begins; the hardware database has the last word.
PART = (
    r"(?:(?:NVIDIA|AMD|Intel|Google|Cloud|Tesla|GeForce|Huawei|Ascend)[ -]+)*"
    r"(?:GB?[23]00|GH200|[BHAV]\d{2,3}|P100|T4|L40S?|L4|RTX[ -]?A?\d{4}(?: ?Ti)?|MI\d{3}X?|910\w?|TPU[ -]?v\d\w*"
    r"|Gaudi[ -]?\d)(?:[ -]?(?:SXM\d?|PCIe|NVL|\(?\d{2,3} ?GB?\)?))*"
)
#: A word that the rules of English take for a plan, a comparison or a possibility.
PERHAPS = " perhaps if "
BATCH = " batch size of "
LENGTH = " sequence length of "
