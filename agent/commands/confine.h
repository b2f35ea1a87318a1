/*
 * confine: what this configuration lets the agent read and write, as rules of the sandbox. Main
 * thread, before there are others.
 */
#ifndef BARGE_CONFINE_H
#define BARGE_CONFINE_H

#include "agent/config/config.h"

/* This variable of the environment, "off", leaves the sandbox out: debuggers and profilers that run
 * inside the process (valgrind) need what it forbids. */
#define CONFINE_VARIABLE "BARGE_SANDBOX"

/* Enters the sandbox. data_dir must be there, sockets that need rights must be open; the folder of
 * output.file is made when it is not there. config_path may be NULL. */
void confine_enter(const char *config_path, const struct config *c);

#endif
