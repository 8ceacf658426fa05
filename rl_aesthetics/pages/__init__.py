"""What HTML pages are made of: templates, styles, scripts, and the environment that renders them."""
