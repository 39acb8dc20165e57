"""The files of the chat page, as a browser gets them: no build step, and nothing from elsewhere."""
