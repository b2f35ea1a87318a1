/*
 * files_name: what rotation makes of a log's name, undone. Any thread.
 *
 *   app.log  app.log.1  app.log.2.gz  app.log-20240131  app.log-20240131.gz  app-20240131.log
 *   app.2024-01-31.log  app-2024-01-31.2.log.gz  app.log.2024-01-31-15  app.log-1706659200
 *
 * are all app.log. A number alone, without a point before it at the end, is no rotation:
 * worker-1.log and worker-2.log are two logs.
 */
#ifndef BARGE_FILES_NAME_H
#define BARGE_FILES_NAME_H

#include "agent/inputs/tail_name.h"

/* False for names that are no log's: empty, hidden, longer than a name may be, compressed in a way
 * that is not read here. */
bool files_name_parse(const char *name, struct tail_name *to);

#endif
