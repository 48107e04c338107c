//! System tests of Stockade; each file of `tests/` is one room of the suite.
