/* The numbers of the advisory locks, each for one purpose: whoever needs another lock takes a
 * number that is not here. Inside the database module. All are of a transaction (PostgreSQL
 * documentation, 9.28.10), and other programs in the same database may use any other number. */
#ifndef CLIENTS_POSTGRES_ADVISORY_LOCKS_H
#define CLIENTS_POSTGRES_ADVISORY_LOCKS_H

#define LOCK_OF_SCHEMA "7021786321201"     /* install or upgrade it */
#define LOCK_OF_SALES_VIEW "7021786321202" /* refresh or replace it; in sales_ledger_view.sql */
/* Fill the sales ledger, or make its triggers or its view; in sales_ledger_triggers.sql and
 * sales_ledger_view.sql. It may be held for as long as it takes to read all orders. */
#define LOCK_OF_SALES_LEDGER "7021786321203"
#define LOCK_OF_LEDGER_FOLD "7021786321204"
#define LOCK_OF_ARCHIVE "7021786321205" /* store dead letters: shared */

#endif
