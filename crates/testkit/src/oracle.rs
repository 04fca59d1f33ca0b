//! A naive evaluation of a listing query over products in memory.
