"""Every metric by its name: where it is, what it needs, which frames it looks at; importing it imports nothing heavy."""
