/*
 * format_nginx: nginx's access logs (JSON with nginx's own variable names; the stock combined and
 * the image's main format, with a request id or name=value behind it) and its error log, as ECS
 * members. Pure functions; see format.h. nginx.org: ngx_http_log_module, ngx_core_module error_log.
 */
#ifndef BARGE_FORMAT_NGINX_H
#define BARGE_FORMAT_NGINX_H

#include "parsers/format.h"

/* A format_read_fn. Times: $msec (which is left out then), $time_local, $time_iso8601
 * and the error log's. */
bool format_nginx_read(const struct format *f, struct bytes text, struct format_work *w,
                       struct format_result *out);

#endif
