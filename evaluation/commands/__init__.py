"""The package's own command line, a file a group of commands; nothing heavy is imported before a command's body needs it."""
