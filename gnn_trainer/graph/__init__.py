"""The dynamic market graph: edge rules and the sequence of graphs they make."""
