"""What runs inside a started sandbox; the standard library alone, and little of it, since every start imports it."""
