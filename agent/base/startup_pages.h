/*
 * startup_pages: gives back the pages of code and constants that only the start needed. The
 * libraries behind libcurl and libmicrohttpd (TLS, Kerberos, LDAP) touch megabytes of themselves
 * when they are loaded and set up, and hardly anything afterwards.
 */
#ifndef BARGE_STARTUP_PAGES_H
#define BARGE_STARTUP_PAGES_H

/* Takes every mapped page that is only ever read out of the resident set; what is used again comes
 * back from the page cache, at the cost of a minor fault. Any thread, once the start is over. */
void startup_pages_release(void);

#endif
