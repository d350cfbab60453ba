"""Developer commands: run the stack, run the tests. Standard library only until the environment is made."""
