"""What EvalAI's worker imports from evaluation_script.zip."""

from .main import evaluate

__all__ = ["evaluate"]
