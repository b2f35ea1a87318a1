/*
 * format_mysql: the slow query log (one entry, joined from its lines) and the error log of MySQL
 * 5.7 and 8, and MariaDB, under the names of Elastic's mysql module. Pure functions; see format.h.
 * dev.mysql.com "The Slow Query Log", "Error Log Output Format"; mariadb.com "Slow Query Log".
 */
#ifndef BARGE_FORMAT_MYSQL_H
#define BARGE_FORMAT_MYSQL_H

#include "parsers/format.h"

/* A format_read_fn. The message of a slow query is its statement, in which a comment may hold the
 * request id; the trace of a comment traceparent='…' is taken too. */
bool format_mysql_read(const struct format *f, struct bytes text, struct format_work *w,
                       struct format_result *out);

#endif
