"""Parts of the documentation site that are made while it is built: reference pages, outputs of commands, pictures."""
