"""The web page `retouch ui`: a shell over `retoucher.api`; Gradio is imported when it starts."""
