#!/bin/sh
# Run once by the postgres container, when its volume is empty: all roles have one password here.
set -eu
psql -q -U "${POSTGRES_USER:-postgres}" -d postgres -v "contacts=$RAPPORT_PASSWORD" -v "sales=$RAPPORT_PASSWORD" \
  -v "segmentation=$RAPPORT_PASSWORD" -v "campaign=$RAPPORT_PASSWORD" -v "care=$RAPPORT_PASSWORD" \
  -f /rapport/databases.sql
