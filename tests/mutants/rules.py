"""The rules of buffer, dead letters and daily files, each with a way to take it out of the code.

(what the rule says, file, text that keeps it, text without it, unit tests to ask in this order). The text must stand in the file
exactly once; a rule whose code has changed is found by that. Empty: there is no way to break the rule by one change.
"""

BASIC = ("buffer", "buffer_faults", "buffer_crash")
FAULTS = ("buffer_faults", "buffer_crash")
CRASH = ("buffer_crash", "buffer_faults", "buffer_damage")
DAMAGE = ("buffer_damage", "buffer", "buffer_crash")
LETTERS = ("dead_letters", "dead_letters_crash")
DAYS = ("day_file_crash", "file_output")

SYNC = "agent/buffer/buffer_sync.c"
STATE = "agent/buffer/buffer_state.c"
WRITER = "agent/buffer/buffer_writer.c"
READER = "agent/buffer/buffer_reader.c"
SCAN = "agent/buffer/buffer_scan.c"
FORMAT = "agent/buffer/buffer_format.c"
RECOVER = "agent/buffer/buffer_recover.c"
OPEN = "agent/buffer/buffer.c"
DEAD = "outputs/dead_letters.c"
DAY = "outputs/file/day_file.c"
OUT = "outputs/file/file_output.c"

RULES = [
    # ---- fsync, durable, state ----
    ("F1 durable only after fdatasync", SYNC, "rc = fd < 0 ? -1 : io_fdatasync(fd);", "rc = fd < 0 ? -1 : 0;", FAULTS),
    ("F2 a failed fsync is not asked again", SYNC, "    g->failed = true;\n", "    g->failed = false;\n", FAULTS),
    ("F2 … nor by the life after a kill", OPEN, "g->failed = r->suspect &&", "g->failed = false &&", FAULTS),
    ("F2 … nor for the state", SYNC, "    b->state_failed = lost;\n", "    b->state_failed = false;\n", FAULTS),
    ("F2 the copy is fsynced before it takes the name", SYNC, "        rc = io_fdatasync(to);\n", "        rc = 0;\n", FAULTS),
    ("F3 a segment's name is fsynced before it is durable", SYNC, "    pthread_mutex_unlock(&b->lock);\n    rc = io_fsync(b->dir);\n",
     "    pthread_mutex_unlock(&b->lock);\n    rc = 0;\n", CRASH),
    ("F3 … and its copy's", SYNC, "    if (rc == 0)\n        rc = io_fsync(b->dir);\n", "", CRASH),
    ("F3 the state's name is fsynced", OPEN, "rc = b->state_failed ? -1 : io_fsync(b->dir);", "rc = b->state_failed ? -1 : 0;", CRASH),
    ("F3 the folder's own name is fsynced", OPEN, "parent < 0 || io_fsync(parent) < 0", "parent < 0", CRASH),
    ("F4 two state slots in turn", STATE, "    f->next_slot ^= 1;\n", "", CRASH),
    ("F4 the newer slot counts", STATE, "(int64_t)(one.generation - s->generation) <= 0", "(int64_t)(one.generation - s->generation) >= 0", DAMAGE),
    ("F4 generations may wrap", STATE, "(int64_t)(one.generation - s->generation) <= 0", "one.generation <= s->generation", DAMAGE),
    ("F5 without a state the frontier is the oldest segment's", RECOVER, "if (r->n > 0 && state_is_old &&", "if (false && state_is_old &&", DAMAGE),
    ("F5 an older state gives way to the log", RECOVER, "        r->books.frontier = books->frontier;\n        r->books.finished = books->finished;\n", "",
     DAMAGE),
    ("F6 a position moves with its records' commit alone", WRITER, "    /* Not what changed since: it may be ahead of records that are still pending. */\n",
     "    buffer_positions_clean(b->w.positions);\n", CRASH),
    ("F8 a segment goes only after the state is fsynced", SYNC, "if (!write_state(b, true) && clock", "if (!write_state(b, false) && clock", FAULTS),
    ("F8 … and not while the state fails", SYNC, "clock_mono_ms() - b->state_failing_ms < STATE_PATIENCE_MS", "now - b->state_failing_ms < STATE_PATIENCE_MS",
     FAULTS),
    ("F8 … and after a later head is durable", SYNC, "if (!head_durable(b, heir) && (heir->failed || !sync_segment(b, heir)))", "if (false)", FAULTS),
    ("F9 the next head's room is set aside", WRITER, "    fd = b->spare_fd;\n    b->spare_fd = -1;\n", "    fd = -1;\n", FAULTS),
    ("F9 the state's blocks are there from the start", STATE, "(st.st_size < BUFFER_FORMAT_STATE && fill(fd) < 0)", "false", FAULTS),
    ("F10 the numbering goes on behind a frontier beyond the log", RECOVER, "    r->end.seq = MAX(r->end.seq, f->seq);\n", "", DAMAGE),
    ("F12 one process a folder", OPEN, "if (io_lock(b->dir, LOCK_EX | LOCK_NB) < 0)", "if (false)", BASIC),
    # ---- records and segments ----
    ("Q1 the head's checksum", FORMAT, "    return get32(p) == hash_crc32c(key, p + 4, BUFFER_FORMAT_HEAD - 4);", "    return key | true;", DAMAGE),
    ("Q1 the payload's checksum, read on", READER, "            h.payload_crc)\n            return WALK_DAMAGE;", "            h.payload_crc && false)\n            return WALK_DAMAGE;",
     DAMAGE),
    ("Q1 the payload's checksum, scanned", SCAN, "    return crc == h->payload_crc;", "    return crc == h->payload_crc || true;", DAMAGE),
    ("Q1 a commit's checksum", SCAN, "buffer_format_payload_crc(s->key, h->seq, p.p, p.n) != h->payload_crc", "false", DAMAGE),
    ("Q2 a length is bounded by the segment", READER, "        if (size > v->end - at - w->n)\n            return WALK_DAMAGE;\n", "", DAMAGE),
    ("Q3 damage is got over at the next record", SCAN, "    for (s->at++; s->at + BUFFER_FORMAT_HEAD <= s->limit; s->at++) {", "    for (; false;) {", DAMAGE),
    ("Q4 the salt is in every checksum", FORMAT, "hash_crc32c(hash_crc32c(0, salt, BUFFER_FORMAT_SALT), n, sizeof n)", "hash_crc32c((uint32_t)(salt - salt), n, sizeof n)",
     DAMAGE),
    ("Q4 … and the segment's number", FORMAT, "hash_crc32c(hash_crc32c(0, salt, BUFFER_FORMAT_SALT), n, sizeof n)", "hash_crc32c(0, salt, BUFFER_FORMAT_SALT)", DAMAGE),
    ("Q4 another buffer's segment is set aside", RECOVER, "memcmp(c->p[i].header.salt, r->salt, BUFFER_FORMAT_SALT) != 0) {", "false) {", DAMAGE),
    ("Q5 gaps in the numbering are counted", READER, "        *lost += seq - c->seq;\n", "", DAMAGE),
    ("Q8 a number is never used again", RECOVER, "        r->next_number = MAX(r->next_number, state.reserved);\n", "", CRASH),
    ("Q8 no link is followed", RECOVER, "O_RDONLY | O_NOFOLLOW | O_NONBLOCK", "O_RDONLY | O_NONBLOCK", DAMAGE),
    ("Q8 a segment is a regular file", RECOVER, "|| !S_ISREG(st.st_mode)) {", ") {", DAMAGE),
    ("Q9 nothing goes behind a failed write", WRITER, "        io_truncate(w->fd, (off_t)w->written);\n        refuse(b, \"write\", error);\n",
     "        w->written += n / 2;\n        refuse(b, \"write\", error);\n", FAULTS),
    ("Q12 a newer format is refused", RECOVER, "    if (version > BUFFER_FORMAT_VERSION) {\n", "    if (false) {\n", BASIC),
    ("a spare file holds nothing of before", OPEN, "if (st.st_size > 0 && io_truncate(fd, 0) < 0)", "if (false)", CRASH),
    # ---- recovery ----
    ("R1 what lies before the mark is not read", RECOVER, "    while (i + 1 < w->r->n && w->r->segments[i + 1]->number <= w->mark.point.segment)\n        i++;\n",
     "    (void)w;\n", FAULTS),
    ("R2 behind the mark the log ends at damage", RECOVER, "        bool lenient = buffer_point_before((struct buffer_point){g->number, at}, w->mark.point);",
     "        bool lenient = at > 0;", DAMAGE),
    ("R2 before the mark damage is skipped", RECOVER, "        } else if (!lenient && !was_durable(w, i, at)) {", "        } else if (!was_durable(w, i, at) || lenient) {", DAMAGE),
    ("R2 a later commit may prove it", RECOVER, "    find_proof(w, i, at);\n    w->mark = mark_of(w->r);\n", "", CRASH),
    ("R2 the frontier proves nothing once its segment is gone", RECOVER, "r->segments[i]->number == r->books.frontier.point.segment &&", "true &&",
     ("buffer_cut_off",)),
    ("R2 a segment counts behind a whole one", RECOVER, "    return was_durable(w, i, BUFFER_FORMAT_HEADER);\n}\n\n/* Where to begin", "    return true;\n}\n\n/* Where to begin",
     CRASH),
    ("R2 numbers rise along the log", RECOVER, "    drop_contradicting(r, &r->durable);\n    drop_contradicting(r, &r->books.frontier);\n", "", CRASH),
    ("R2 … and within it", RECOVER, "        limit = MIN(limit, r->durable.seq);\n", "", CRASH),
    ("R2 missing segments were finished, or the rest does not count", RECOVER, "if (start == 0 && !may_begin(&w))", "if (false && !may_begin(&w))", CRASH),
    ("R2 damaged segments are kept for a look", SYNC, "    bool keep = g->damaged &&", "    bool keep = false &&", DAMAGE),
    ("R2 … within their share", SYNC, "b->bad_bytes + g->size <= b->o.max_bytes / BAD_SHARE;", "true;", DAMAGE),
    ("R3 a folder not listed to its end is no shorter log", RECOVER, "(more = io_list_next(d, &entry)) != 0)", "(more = io_list_next(d, &entry)) > 0)", FAULTS),
    ("R3 nor is one for which there are no descriptors", RECOVER, "    return error == EMFILE ||", "    return false && error == EMFILE ||", FAULTS),
    ("R3 a sector that cannot be read costs its records", SCAN, "        if (got < 0 && errno == EIO) {", "        if (false) {", FAULTS),
    ("R6 who waits for durable records is told", SYNC, "    if (atomic_exchange(&b->held, false))\n        call(b, b->o.on_data);\n", "", BASIC),
    ("R7 what never fits is told beforehand", WRITER, "    limit = MIN(limit, b->o.cannot_wait_max_bytes);\n    return", "    limit = BUFFER_MAX_RECORD;\n    return", BASIC),
    ("R8 the bytes are counted from the files", OPEN, "        b->used += g->size;\n        if (g->number < r->durable", "        if (g->number < r->durable", BASIC),
    ("only what is committed is read", READER, "                           .end = g->end,\n", "                           .end = g->size,\n", BASIC),
    ("what must be durable first is held back", READER, "if (UNLIKELY(h.flags & BUFFER_DURABLE_FIRST) &&", "if (false &&", BASIC),
    ("the books of delivery go with the frontier", FORMAT, "    put64(to + 56, k->finished.delivered);\n", "    put64(to + 56, 0);\n", BASIC),
    # ---- room ----
    ("D2 the cap holds", WRITER, "    limit = less(b->o.max_bytes, used);\n", "    limit = BUFFER_NEVER / 2;\n", BASIC),
    ("D2 files leave the reserve", WRITER, "less(limit, b->o.reserve_bytes);", "limit;", BASIC),
    ("D3 datagrams keep to their share", WRITER, "MIN(limit, less(b->o.cannot_wait_max_bytes, cannot_wait + w->cannot_wait_pending));", "limit;", BASIC),
    ("D4 the host keeps its free space", WRITER, "MIN(w->room[i], less(space, w->tail_n));", "w->room[i];", BASIC),
    ("D5 nothing is taken while the disk refuses", WRITER, "    b->refused = true;\n", "", BASIC),
    ("D6 it is looked at again by itself", WRITER, "    if (b->room_ms == BUFFER_NEVER) {\n        b->room_ms = clock_mono_ms() + SPACE_CHECK_MS;\n        buffer_sync_wake(b);\n    }\n    pthread_mutex_unlock(&b->lock);\n    b->w.room",
     "    pthread_mutex_unlock(&b->lock);\n    b->w.room", BASIC),
    ("D6 a full segment that is delivered makes way", WRITER, "    finished = b->frontier.seq == b->end.seq && b->w.segment->end > b->w.segment->data_start;\n",
     "    finished = false;\n", BASIC),
    # ---- dead letters ----
    ("letters count after fdatasync", DEAD, "    if (!f->failed && io_fdatasync(f->fd) == 0)\n", "    if (!f->failed)\n", LETTERS),
    ("a failed fsync of letters is not asked again", DEAD, "        close_file(f); /* whose fsync failed is not asked again */\n", "        f->failed = false;\n", LETTERS),
    ("letters count after their names", DEAD, "        if (io_fsync(d->dirs[order[i]]) < 0)\n            return -1;\n", "", LETTERS),
    ("a moved file's new name comes first", DEAD, "order[FOLDERS] = {REPLAY, LETTERS, PARKED};", "order[FOLDERS] = {LETTERS, PARKED, REPLAY};", LETTERS),
    ("the letters' folders last", DEAD, "(io_fsync(data) < 0 || io_fsync(dirs[REPLAY]) < 0 || io_fsync(dirs[LETTERS]) < 0)", "false", LETTERS),
    ("a batch that failed is taken back", DEAD, "        if (io_truncate(f->fd, f->counted) < 0)\n", "        if (false)\n", LETTERS),
    ("nothing goes behind a torn letter", DEAD, "            f->failed = true;\n        errno = why;", "            close_file(f);\n        errno = why;", LETTERS),
    ("a torn letter is cut at the start", DEAD, "            if (f != REPLAY && cut_torn(d->dirs[f], &l.list[i]) < 0)", "            if (false)", LETTERS),
    ("a replay waits for the batch", DEAD, "    io_lock(d->dirs[LETTERS], LOCK_EX);\n    d->locked", "    d->locked", LETTERS),
    ("parked letters do not expire", DEAD, "    struct listing l = list_folder(d->dirs[LETTERS]);\n    int64_t before_s", "    struct listing l = list_folder(d->dirs[PARKED]);\n    int64_t before_s",
     LETTERS),
    ("dead_letters.max_size holds", DEAD, "    if (d->bytes + d->line.n > d->settings.max_bytes) {\n        expire(d);", "    if (false) {\n        expire(d);", LETTERS),
    # ---- daily files ----
    ("lines count after fdatasync", DAY, "    else if (io_fdatasync(f->fd) < 0)\n", "    else if (false)\n", DAYS),
    ("a killed life's lines are fsynced before they count", DAY, "    if (f->size > 0 && io_fdatasync(f->fd) < 0)\n", "    if (false)\n", DAYS),
    ("what is read twice in one life is in a daily file once", DAY, "    if (!f->forgotten)\n        ids_add(&f->seen, id);\n", "", DAYS),
    ("a daily file's name is fsynced", DAY, "    if (folder_sync_name(path) < 0) {\n", "    if (false) {\n", DAYS),
    ("its folders' names, too", "agent/base/folder.c", "        if (made && folder_sync_name(path) < 0)\n", "        if (false)\n", ("folder",) + DAYS),
    ("what failed is cut away", DAY, "        f->cut_owed = io_truncate(f->fd, f->size) < 0;\n", "        f->cut_owed = false;\n", DAYS),
    ("… later, where it could not be", DAY, "    if (same && f->cut_owed && size > f->size) {\n", "    if (false) {\n", DAYS),
    ("a torn line is cut", DAY, "    f->size = whole_lines(f->fd, size);\n", "    f->size = size;\n", DAYS),
    ("lines with holes are cut", DAY, "    if (w.cut >= 0)\n        f->size = w.cut;\n", "", DAYS),
    ("what is there is not written again", DAY, "    return f->seen.n && *ids_slot(&f->seen, id_hash(&f->seen, id));", "    return f->seen.n && !id;", DAYS),
    ("the frontier moves after the lines are safe", OUT, "    if (*n > 0 && !write_batch(o, *n, &outcome))\n        return false;\n    if (*n > 0 || outcome.damaged > 0)\n        buffer_advance(o->buffer, *cursor, &outcome);\n",
     "    if (*n > 0) {\n        outcome.delivered = buffer_frontier(o->buffer).seq;\n        outcome.delivered = cursor->seq - outcome.delivered - outcome.damaged;\n        buffer_advance(o->buffer, *cursor, &outcome);\n        outcome = (struct buffer_outcome){0};\n        if (!write_batch(o, *n, &outcome))\n            return false;\n    }\n",
     ("file_output",)),
]
