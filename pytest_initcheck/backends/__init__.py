"""Tasks over seeds and settings on an existing engine: loky, Dask or Ray, through joblib.

`pytest_initcheck.backends.mapping.mapped` does them; it is not imported here, as it needs torch.
"""

from __future__ import annotations

from pytest_initcheck.backends.names import Address, parsed

__all__ = ["Address", "parsed"]
