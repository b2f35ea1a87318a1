"""The rules of delivery to Elasticsearch, as those of rules.py. A test is a unit test, or one case of it: FILE:CASE."""

ANSWER = "outputs/elasticsearch/es_answer.c"
VERDICT = "outputs/elasticsearch/es_verdict.c"
FRONTIER = "outputs/elasticsearch/es_frontier.c"
BREAKER = "outputs/elasticsearch/es_breaker.c"
LIMIT = "outputs/elasticsearch/es_limit.c"
SIZE = "outputs/elasticsearch/es_size.c"
LANE = "outputs/elasticsearch/es_lane.c"
FOLD = "outputs/elasticsearch/es_fold.c"
BODY = "outputs/elasticsearch/es_body.c"
OUTCOME = "outputs/elasticsearch/es_outcome.c"
SOURCE = "outputs/elasticsearch/es_source.c"
DELIVERY = "outputs/elasticsearch/es_delivery.c"
HOST = "outputs/elasticsearch/es_host.c"

READS = ("es_answer",)
TABLES = ("es_policy",)
PROXY = ("es_matrix:test_a_proxy_that_refuses_everything",)
CLOSED = ("es_matrix:test_a_closed_index_costs_the_others_nothing",)

RULES = [
    # ---- frontier ----
    ("the frontier moves over what is finished alone", FRONTIER, "while (f->first < f->n && f->list[f->first].open == 0) {", "while (f->first < f->n) {",
     ("es_frontier",)),
    ("at the end it moves up to the first open record", DELIVERY, "    if (es_frontier_advance_partly(&es->frontier, at, &outcome))\n        buffer_advance(es->buffer, at, &outcome);\n",
     "    (void)outcome;\n", ("es_matrix:test_one_record_that_does_not_pass",)),
    ("what cannot be read is booked as damaged", SOURCE, "            es_frontier_lost(&es->frontier, (struct buffer_cursor){r.at, r.seq});\n", "", ("es_delivery:test_damaged",)),
    ("only what the dead letters have is finished", SOURCE, "        if (!(ref->flags & ES_REF_WRITTEN)) {", "        if (false) {",
     ("es_delivery:test_refused_again", "es_matrix:test_a_full_disk_with_refused_records")),
    ("the dead letters have what was fsynced", SOURCE, "            b->refs[i].flags &= (uint8_t)~ES_REF_WRITTEN;\n", "            (void)i;\n",
     ("es_matrix:test_a_failed_fsync_of_dead_letters",)),
    # ---- an answer counts only when it is perfect ----
    ("as many items as were sent, not fewer", ANSWER, "        if (a->n != a->expected)\n            return fail(a, \"fewer items than were sent\");\n", "", READS),
    ("… nor more", ANSWER, "        if (a->n == a->expected)\n            return fail(a, \"more items than were sent\");\n        a->skipped", "        a->skipped", READS),
    ("… nor more common ones", ANSWER, "                if (a->n == a->expected)\n                    return fail(a, \"more items than were sent\");\n", "", READS),
    ("items name no other _id than was sent", ANSWER, "a->id_is != NULL && !a->id_is(", "false && !a->id_is(", ("es_answer", "es_matrix:test_reordered_items")),
    ("items are of our action", ANSWER, "        if (a->key != KEY_CREATE)\n", "        if (false)\n", READS),
    ("one action an item", ANSWER, "    if (a->keys != 1)\n", "    if (a->keys < 1)\n", READS),
    ("no item without a status", ANSWER, "    if (!a->have_status)\n", "    if (false)\n", READS),
    ("nor with two", ANSWER, "        if (a->have_status)\n            return fail(a, \"an item with two statuses\");\n", "", READS),
    ("no answer that is cut off", ANSWER, "    if (a->wrong == NULL && !a->done)\n        fail(a, a->bytes == 0 ? \"empty\" : \"cut off\");\n    if (a->wrong == NULL && yajl_complete_parse(a->yajl) != yajl_status_ok)\n        fail(a, \"no JSON\");\n",
     "", READS),
    ("items once", ANSWER, "        if (a->seen_items)\n            return fail(a, \"items twice\");\n", "", READS),
    ("an answer has a ceiling", ANSWER, "    if (a->bytes > a->max_bytes)\n", "    if (false)\n", READS),
    ("a text in it, too", ANSWER, "        if (a->quiet_bytes > MAX_QUIET_BYTES)\n", "        if (false)\n", READS),
    ("the transfer ended well, too", HOST, "es_answer_end(&r->answer) && result == CURLE_OK;", "es_answer_end(&r->answer);",
     ("es_delivery:test_odd_answers", "es_matrix:test_an_answer_whose_end_is_missing")),
    ("a connection goes on after a perfect answer alone", HOST, "    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);\n", "",
     ("es_matrix:test_a_connection_goes_on_after_a_perfect_answer_alone",)),
    ("… and does after one", HOST, "        curl_easy_setopt(r->easy, CURLOPT_FORBID_REUSE, 0L);\n", "        (void)r;\n",
     ("es_matrix:test_a_connection_goes_on_after_a_perfect_answer_alone",)),
    ("a node has output.elasticsearch.timeout for an answer", HOST, "    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)s->timeout_ms);\n", "", ("es_delivery:test_hang",)),
    # ---- tables ----
    ("409 to a create is a duplicate", VERDICT, "    {409, 409, \"version_conflict_engine_exception\", NULL, ES_DUPLICATE},\n", "", TABLES),
    ("what is not known is sent again", VERDICT, "    return ES_RETRY;\n", "    return ES_REFUSED;\n", TABLES),
    ("a 400 without an error condemns nothing", VERDICT, "    {400, 400, NULL, NULL, ES_REFUSED},\n", "    {400, 400, \"*\", NULL, ES_REFUSED},\n", TABLES),
    ("a closed index is not the record's fault", VERDICT, "    {400, 400, \"index_closed_exception\", NULL, ES_RETRY_INDEX},\n", "", TABLES),
    ("nor is the shard limit", VERDICT, "    {400, 400, \"validation_exception\", \"shards open\", ES_RETRY_INDEX},\n", "", ("es_policy", "es_matrix:test_the_shard_limit_at_midnight")),
    ("… in its other wording", VERDICT, "    {400, 400, ILLEGAL, \"shards open\", ES_RETRY_INDEX},\n", "", TABLES),
    ("a block on an index is no word about the node", VERDICT, "    {429, 429, \"cluster_block_exception\", NULL, ES_RETRY_INDEX},\n", "", TABLES),
    ("403 for an item is about its index", VERDICT, "    {403, 403, \"*\", NULL, ES_RETRY_INDEX},\n", "", TABLES),
    ("404, too", VERDICT, "    {404, 404, \"*\", NULL, ES_RETRY_INDEX},\n", "", TABLES),
    ("a full queue in the words of a 400", VERDICT, "    {400, 400, \"es_rejected_execution_exception\", NULL, ES_RETRY},\n", "", TABLES),
    # ---- breaker, limit ----
    ("three failures open the breaker", BREAKER, "    if (hard || b->failures >= ES_BREAKER_FAILURES) {", "    if (hard) {", TABLES),
    ("refused credentials open it at once", BREAKER, "    if (hard || b->failures >= ES_BREAKER_FAILURES) {", "    if (b->failures >= ES_BREAKER_FAILURES) {", TABLES),
    ("one request tries a host whose breaker is open", BREAKER, "        b->state = ES_BREAKER_HALF_OPEN;\n", "        b->state = ES_BREAKER_CLOSED;\n", TABLES),
    ("the pause grows", BREAKER, "        pause *= 2;\n", "        pause += 0;\n", TABLES),
    ("Retry-After is honoured", BREAKER, "    b->until_ms = MAX(b->until_ms, now_ms + wait_ms);\n", "", ("es_policy", "es_matrix:test_retry_after")),
    ("… and capped", HOST, "MIN((uint64_t)seconds, RETRY_AFTER_MAX_MS / 1000) * 1000", "(uint64_t)seconds * 1000", ("es_matrix:test_retry_after",)),
    ("overload halves what is allowed", LIMIT, "    l->allowed = l->slow_from = MAX(1.0, l->allowed / 2);\n", "", TABLES),
    ("… once for what was sent before", LIMIT, "    if (l->cut_ms != 0 && sent_ms < l->cut_ms)\n        return false;\n", "", TABLES),
    ("slow answers lower it", LIMIT, "            l->allowed = MAX(1.0, l->allowed - 0.5);\n", "", TABLES),
    ("max_in_flight holds", LIMIT, "    l->allowed = MIN((double)l->max, l->allowed);\n", "", TABLES),
    # ---- lanes ----
    ("an index that takes nothing gets a lane", OUTCOME, "    if (index_takes_nothing(es, b, ref, fate) &&\n", "    if (false && index_takes_nothing(es, b, ref, fate) &&\n", CLOSED),
    ("its further records go there when they are read", SOURCE, "        if (UNLIKELY(look.lane != NULL)) {", "        if (false) {", CLOSED),
    ("it is asked with one record", DELIVERY, "size_t max = lane->state == ES_LANE_DRAINING ? SIZE_MAX : 1;", "size_t max = SIZE_MAX;", ("es_matrix:test_a_lane_is_tried_with_one_record",)),
    ("ever more seldom", LANE, "    lane->due_ms = now_ms + es_backoff_ms(lane->failures, TRY_MS, TRY_MAX_MS, r);\n", "    lane->due_ms = now_ms + es_backoff_ms(1, TRY_MS, TRY_MAX_MS, r);\n", CLOSED),
    ("it is parked after park_after", DELIVERY, "now_ms - lane->since_ms >= es->settings->park_after_ms &&", "false &&", ("es_delivery:test_parking",)),
    ("… not for the time that no host answered", DELIVERY, "            now_ms - lane->refused_ms < 2 * ES_RETRY_MAX_MS)\n", "            true)\n",
     ("es_matrix:test_a_host_that_is_away_parks_nothing",)),
    ("who holds half the buffer is parked", DELIVERY, "stats.full || stats.bytes > stats.max_bytes / 2 ||", "stats.full ||", ("es_matrix:test_who_holds_half_the_buffer_is_parked",)),
    ("what is parked is handed back when its index accepts", OUTCOME, "    if (lane->parked > 0) {\n        unpark(es, index);\n", "    if (lane->parked > 0) {\n",
     ("es_delivery:test_parked_before", "es_delivery:test_parking")),
    ("a lane that cannot be parked is tried on", DELIVERY, "                    lane->state = ES_LANE_TROUBLED;\n                    lane->park_ms", "                    lane->park_ms",
     ("es_matrix:test_nothing_can_be_parked",)),
    ("on a full disk its segments are kept", SOURCE, "    es->no_room_until_ms = now_ms + NO_ROOM_MS;\n    return park_segment(es, lane);\n", "    return false;\n",
     ("es_matrix:test_a_full_disk_with_a_closed_index",)),
    # ---- folding ----
    ("refused for its shape it is folded", OUTCOME, "            es_batch_add_ref(made(es, &s->fold, b), b, ref, why, ES_REF_FOLD);\n", "            es_batch_add_ref(made(es, &s->bury, b), b, ref, why, 0);\n",
     ("es_delivery:test_folding",)),
    ("refused again it is a dead letter", OUTCOME, "        if (ref->flags & ES_REF_FOLD) {\n            tell_buried", "        if (false) {\n            tell_buried", ("es_delivery:test_refused_again",)),
    ("what was refused is remembered for its index", SOURCE, "    if (LIKELY(!look->folds) ||\n", "    if (true ||\n", ("es_delivery:test_folding",)),
    # ---- evidence before a record is condemned ----
    ("a single 400 condemns when the host has answered others", OUTCOME, "    else if (own && asked_in_good_health(r))\n", "    else if (own)\n", PROXY),
    ("… and in Elasticsearch's own words", OUTCOME, "    else if (own && asked_in_good_health(r))\n", "    else if (asked_in_good_health(r))\n",
     ("es_matrix:test_one_record_that_does_not_pass",)),
    ("… before it was asked", OUTCOME, "    return r->ok_begun > r->batch->ok_then;\n", "    return r->host->ok_number > r->batch->ok_then;\n",
     ("es_delivery:test_a_host_that_heals_while_it_is_asked",)),
    ("a single 413 likewise", OUTCOME, "        if (asked_in_good_health(r))\n            condemn(es, b, text, now_ms);\n", "        if (b->n == 1)\n            condemn(es, b, text, now_ms);\n", PROXY),
    ("evidence is the same host's", OUTCOME, "    return host->ok_number > ok_then;\n", "    return host->ok_number + 1000000 > ok_then;\n",
     ("es_matrix:test_a_broken_host_beside_a_good_one", "es_matrix:test_a_node_that_hangs_condemns_nothing")),
    ("a hanging record is condemned at the fifth strike", OUTCOME, "b->strikes >= STRIKES &&", "b->strikes >= STRIKES - 1 &&", ("es_matrix:test_four_times_is_not_five",)),
    ("… over ten minutes", OUTCOME, "now_ms - b->first_strike_ms >= STRIKES_MS", "true", ("es_matrix:test_a_hanging_record_is_condemned_in_the_end",)),
    ("… with others answered in between each time", OUTCOME, "answers_others(host, MAX(b->ok_then, b->ok_strike))", "true", ("es_matrix:test_a_node_that_hangs_condemns_nothing",)),
    ("three single ones that fare alike: it is the request", OUTCOME, "++host->alike >= SINGLES_ALIKE", "++host->alike >= 1000000", PROXY),
    ("that ends with the first good answer", OUTCOME, "    r->host->distrust = false;\n", "", ("es_matrix:test_a_host_is_trusted_again",)),
    ("500, 502, 504 are bisected like silence", OUTCOME, "    case FAILED_BROKEN:\n    case FAILED_HANG:\n        hung(es", "    case FAILED_BROKEN:\n        later(es, b, 0, now_ms);\n        break;\n    case FAILED_HANG:\n        hung(es",
     ("es_matrix:test_one_record_that_does_not_pass",)),
    ("what hangs is halved", OUTCOME, "    if (b->n > 1 && b->hangs >= HANGS_BEFORE_SPLIT &&\n", "    if (false && b->hangs >= HANGS_BEFORE_SPLIT &&\n", ("es_matrix:test_one_record_that_does_not_pass",)),
    ("a whole 400 is halved", OUTCOME, "    if (b->n > 1 && !host->distrust)\n        halve(es, b, now_ms);\n", "    if (b->n > 1 && !host->distrust)\n        later(es, b, 0, now_ms);\n",
     ("es_delivery:test_poisoned_request",)),
    ("401 and 403 lose nothing", OUTCOME, "        if (!answers_others(r->host, b->ok_then)) {\n            later(es, b, 0, now_ms);\n", "        if (!answers_others(r->host, b->ok_then)) {\n            es_pend(es, b, ES_BURY, now_ms);\n",
     ("es_delivery:test_credentials",)),
    ("credentials are read again after a 401", OUTCOME, "        fresh = new_credentials(es);\n", "        fresh = false;\n", ("es_matrix:test_a_new_key_is_found",)),
    # ---- sizes ----
    ("a 413 halves", OUTCOME, "LOG_STR(\"knob\", \"http.max_content_length\"));\n    halve(es, b, now_ms);\n", "LOG_STR(\"knob\", \"http.max_content_length\"));\n    later(es, b, 0, now_ms);\n",
     ("es_delivery:test_413",)),
    ("… and teaches a size", SIZE, "        s->bytes = (size_t)MAX(half, (uint64_t)MIN_BYTES);\n", "        (void)half;\n", ("es_matrix:test_a_limit_is_learnt_and_forgotten", "es_policy:test_sizes_that_are_refused")),
    ("which is tried again after an hour", SIZE, "    if (s->refused == UINT64_MAX || now_ms", "    if (true || now_ms", ("es_matrix:test_a_limit_is_learnt_and_forgotten", "es_policy:test_sizes_that_are_refused")),
    ("… and forgotten when more is taken", SIZE, "    if (bytes >= s->refused)\n        forget_refused(s);\n", "", PROXY + ("es_policy:test_sizes_that_are_refused",)),
    ("requests begin small", SIZE, "    s->bytes = s->first;\n}\n\n/* Whether", "    s->bytes = max;\n}\n\n/* Whether", ("es_matrix:test_short_lives_get_further", "es_policy:test_sizes")),
    ("… and grow by what is taken", SIZE, "    if (!may_grow(s) || bytes * 2 < s->bytes)\n", "    if (true || bytes == 0)\n", ("es_matrix:test_short_lives_get_further", "es_policy:test_sizes")),
    ("one request at a time that is too much becomes smaller", OUTCOME, "        es_size_overloaded(&es->size);\n", "        (void)es->size;\n", ("es_delivery:test_busy_with_large_requests",)),
    ("… and so does what was refused", OUTCOME, "        later_in_parts(es, b, r->retry_after_ms, now_ms);\n", "        later(es, b, r->retry_after_ms, now_ms);\n", ("es_delivery:test_busy_with_large_requests",)),
    ("what an overloaded host takes grows slowly", SIZE, "s->bytes += es_size_doubles(s) ? s->bytes : s->bytes / SLOWLY + 1;", "s->bytes += s->bytes;", ("es_policy:test_sizes",)),
    ("… at once, too", LIMIT, "l->allowed += l->allowed < l->slow_from ? 1.0 / l->allowed : 1.0 / SLOWLY;", "l->allowed += 1.0 / l->allowed;", ("es_policy:test_limit",)),
    ("after an outage requests begin anew", SIZE, "    s->bytes = MIN(s->bytes, s->first);\n}\n\nvoid es_size_unlearn", "}\n\nvoid es_size_unlearn", ("es_policy:test_sizes",)),
    ("… where another host is well there was none", OUTCOME, "        if (es->ok_count > 0 && !es_hosts_well(&es->hosts))\n            es_size", "        es_size", ("es_delivery:test_two_hosts",)),
    ("names are written as JSON", BODY, "    strbuf_add_json(&b->prefixes, index);\n", "    strbuf_add_char(&b->prefixes, '\"');\n    strbuf_add_bytes(&b->prefixes, index);\n    strbuf_add_char(&b->prefixes, '\"');\n",
     ("es_body",)),
    # ---- the end ----
    ("the end keeps to its time", DELIVERY, "    return now_ms >= deadline_ms ||", "    return", ("es_delivery:test_stop_while_hanging",)),
    ("it does not wait for a lane", DELIVERY, "        if (lane->due_ms > now_ms && !atomic_load(&es->stop))\n", "        if (lane->due_ms > now_ms)\n", ("es_matrix:test_the_end_does_not_wait_for_a_lane",)),
]
