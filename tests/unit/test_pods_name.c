/* Names that the kubelet gives. */
#include "agent/inputs/pods_name.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define UID "3f1c9a52-7a0e-4b59-9f0d-5d0c1e6b8a11"
#define STATIC_UID "d3d1f366211f3e5faff3cdb2bb7798b2"

static void assert_bytes(struct bytes b, const char *text)
{
    if (!bytes_equal(b, bytes_str(text)))
        fail_msg("\"%.*s\" is not \"%s\"", (int)b.n, b.p, text);
}

static void test_folders(void **state)
{
    static const char *const others[] = {"",     "_",    "__",      "a_b",  "a__c",
                                         "_b_c", "a_b_", "a_b_c_d", "lost", "a_b__c"};
    struct pods_name n;

    (void)state;
    assert_true(pods_name_parse("shop_orders-7d9f8b6c5d-x2x9k_" UID, &n));
    assert_bytes(n.namespace, "shop");
    assert_bytes(n.pod, "orders-7d9f8b6c5d-x2x9k");
    assert_bytes(n.uid, UID);
    assert_true(pods_name_parse("kube-system_etcd-ip-10-0-1-5.internal_" STATIC_UID, &n));
    assert_bytes(n.pod, "etcd-ip-10-0-1-5.internal");
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        if (pods_name_parse(others[i], &n))
            fail_msg("taken: %s", others[i]);
}

static void test_workloads(void **state)
{
    static const struct {
        const char *pod, *uid, *node, *workload;
    } cases[] = {
        /* Deployments, of one word and of more, hashes of eight to ten letters */
        {"orders-7d9f8b6c5d-x2x9k", UID, "n1", "orders"},
        {"shop-operator-5dd5756b68-xkq4d", UID, "n1", "shop-operator"},
        {"coredns-787d4945fb-2k9xq", UID, "n1", "coredns"},
        {"web-1-84b6d9f7-w2j7s", UID, "n1", "web-1"},
        /* StatefulSets */
        {"db-0", UID, "n1", "db"},
        {"prometheus-k8s-12", UID, "n1", "prometheus-k8s"},
        {"db-007", UID, "n1", "db-007"},
        /* DaemonSets and Jobs */
        {"node-agent-tz-4kq9z", UID, "n1", "node-agent-tz"},
        {"migrate-v2-7xk2p", UID, "n1", "migrate-v2"},
        /* CronJobs, before and since 1.21 */
        {"nightly-report-29456100-7b2xk", UID, "n1", "nightly-report"},
        {"nightly-report-1637539200-7b2xk", UID, "n1", "nightly-report"},
        {"import-2026-7b2xk", UID, "n1", "import-2026"},
        /* names that leave no room for all that is put behind: 58 letters of it, and five more */
        {"payment-gateway-with-a-name-as-long-as-helm-charts-do-7d9fx2x9k", UID, "n1",
         "payment-gateway-with-a-name-as-long-as-helm-charts-do"},
        {"payment-gateway-with-a-name-as-long-as-helm-cha-84b6d9f7bdw2j7s", UID, "n1",
         "payment-gateway-with-a-name-as-long-as-helm-cha"},
        {"payment-gateway-with-a-name-as-long-as-helm-charts-have-thw2j7s", UID, "n1",
         "payment-gateway-with-a-name-as-long-as-helm-charts-have-th"},
        {"payment-gateway-with-a-name-as-long-as-helm-charts-have-t-w2j7s", UID, "n1",
         "payment-gateway-with-a-name-as-long-as-helm-charts-have-t"},
        {"payment-gateway-with-a-name-as-long-as-helm-charts-have-thew2-0", UID, "n1",
         "payment-gateway-with-a-name-as-long-as-helm-charts-have-thew2"},
        {"payment-gateway-with-a-name-as-long-as-helm-charts-have-tw2j7s", UID, "n1",
         "payment-gateway-with-a-name-as-long-as-helm-charts-have-tw2j7s"},
        {"a-pod-of-its-own-with-a-name-of-all-the-letters-that-one-can-be", UID, "n1",
         "a-pod-of-its-own-with-a-name-of-all-the-letters-that-one-can-be"},
        /* static pods */
        {"etcd-ip-10-0-1-5.eu-west-1.compute.internal", STATIC_UID,
         "ip-10-0-1-5.eu-west-1.compute.internal", "etcd"},
        {"kube-apiserver-n1", STATIC_UID, "n1", "kube-apiserver"},
        {"kube-proxy-n-1", STATIC_UID, "", "kube-proxy-n-1"},
        {"kube-proxy-0", STATIC_UID, "n2", "kube-proxy-0"},
        {"-n1", STATIC_UID, "n1", "-n1"},
        /* pods of their own, whose words have vowels */
        {"debug-shell", UID, "n1", "debug-shell"},
        {"my-redis", UID, "n1", "my-redis"},
        {"web-nginx", UID, "n1", "web-nginx"},
        {"x2x9k", UID, "n1", "x2x9k"},
        {"-0", UID, "n1", "-0"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct pods_name n = {.pod = bytes_str(cases[i].pod), .uid = bytes_str(cases[i].uid)};

        assert_bytes(pods_name_workload(&n, bytes_str(cases[i].node)), cases[i].workload);
    }
}

static void test_log_files(void **state)
{
    static const char *const others[] = {"",
                                         ".log",
                                         "x.log",
                                         "00.log",
                                         "01.log",
                                         "0.log.",
                                         "0.log.1",
                                         "0.log.gz",
                                         "0.log.20261123-193053.tmp",
                                         "0.log.20261123-193053.gz.tmp",
                                         "0.log.20261123193053",
                                         "0.log.20261123-19305",
                                         "0.log.20261123-1930533",
                                         "0.logs",
                                         "1234567890.log"};
    struct pods_log_name live, old, older;

    (void)state;
    assert_true(pods_name_is_log("12.log", &live));
    assert_int_equal(live.run, 12);
    assert_int_equal(live.index, 0);
    assert_false(live.compressed);
    assert_true(pods_name_is_log("0.log.20261123-193053", &old));
    assert_int_equal(old.run, 0);
    assert_false(old.compressed);
    assert_true(pods_name_is_log("0.log.20261122-235959.gz", &older));
    assert_true(older.compressed);
    assert_true(older.index > old.index && old.index > 0);
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        if (pods_name_is_log(others[i], &live))
            fail_msg("taken: %s", others[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_folders),
        cmocka_unit_test(test_workloads),
        cmocka_unit_test(test_log_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
