//! Real servers for tests: started on a free port in a folder of their own, gone when the test ends.
