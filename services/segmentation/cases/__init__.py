"""Files of rule tests: their YAML, their values, and the vocabulary that they bring. `RULES.md` describes the form."""
