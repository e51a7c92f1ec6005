"""Product-bearing ops that have no honest formula; a count names them and gives a bound."""

KNOWN_UNKNOWN = {
    "aten::_linalg_eigh": "iterates until convergence",
    "aten::_linalg_eigvals": "iterates until convergence",
    "aten::linalg_eig": "iterates until convergence",
    "aten::linalg_eigvals": "iterates until convergence",
    "aten::linalg_matrix_sqrth": "goes through an eigenvalue decomposition",
    "aten::linalg_polar": "goes through a singular value decomposition",
    "aten::_linalg_svd": "iterates until convergence",
    "prims::svd": "iterates until convergence",
    "aten::linalg_pinv": "goes through a singular value decomposition",
    "aten::linalg_lstsq": "the driver decides the algorithm",
    "aten::linalg_matrix_exp": "the degree depends on the matrix's norm",
    "aten::_spsolve": "fill-in depends on the sparsity pattern",
    "aten::_lstm_mps": "holds its weights in lists of one vendor's layout",
    "aten::lstm_mps_backward": "holds its weights in lists of one vendor's layout",
}
"""Op -> reason."""
