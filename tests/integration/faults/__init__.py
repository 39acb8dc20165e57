"""Faults on real processes, over a real store and a real provider; ``tests/support/faults`` has what they are made of.

====  ================================================================  ==========================================
case  fault                                                             files
====  ================================================================  ==========================================
1     a worker, a slot or a runner is killed, at any step               test_moments_of_death, test_dead_runners,
                                                                        test_lost_workers
2     a worker stands still for two leases                              test_lost_workers
3     a doorbell is lost together with the worker that took it          test_lost_and_doubled_rings
4     the store is killed and comes back                                test_store_outages, test_store_over_http
5     the store stands still                                            test_store_over_http
6     the network goes dark, is slow, breaks off, swallows a reply      test_broken_connections, test_slow_connection
7     clocks are hours off                                              test_wrong_clocks
8     the store's disk or memory is full                                test_full_store
9     submitted code kills itself, eats memory, forks, floods;          test_poison_jobs, test_lost_workers
      or takes every worker with it
10    doorbells and submits come twice and more                         test_lost_and_doubled_rings
11    a cancel in every state and phase, and at the end itself          test_cancelling_anywhere, test_wishes
12    a deploy                                                          test_deploys, test_deploy_of_many
13    five hundred readers, a sleeper, and events that were removed     test_many_readers
14    the store forgets, or goes back in time                           test_store_back_in_time
15    everything at random                                              test_chaos, ``benchmarks/chaos.py``
====  ================================================================  ==========================================

After each, the judge of ``tests/support/faults/history.py`` reads the whole history of every job (``violations``).
"""
