"""How a node asks the process that holds its models: the words on the socket, and the client."""
