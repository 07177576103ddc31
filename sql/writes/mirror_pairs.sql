-- A pair is known by its request, its experiment and the shadow's model; a changed one replaces.
SELECT 1
