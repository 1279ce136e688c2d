"""Storage: tables, migrations, the unit of work and its repositories. The only package that speaks SQL."""
