"""The configuration, section by section, and the presets that ship."""
