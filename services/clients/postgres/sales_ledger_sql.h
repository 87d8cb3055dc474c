/* The SQL files about the ledger, embedded. Inside the database module. */
#ifndef CLIENTS_POSTGRES_SALES_LEDGER_SQL_H
#define CLIENTS_POSTGRES_SALES_LEDGER_SQL_H

extern const char sales_ledger_look_sql[];
extern const char sales_ledger_mend_sql[];
extern const char sales_ledger_triggers_sql[];
extern const char sales_ledger_view_sql[];

#endif
