"""The edges of Maillon: what runs at a partner, and one folder for each partner."""
