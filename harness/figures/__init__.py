"""The paper's figures, theirs and ours side by side: one module a family, one shared style; never runs a model."""
