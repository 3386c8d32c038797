"""Settings of the result stores that Celery documents, by the store's name."""

from __future__ import annotations

from typing import Any

from svcjobs_celery_compat.app.defaults.option import Namespace, Option, old_ns

STORES: dict[str, Any] = {
    "cache": Namespace(
        __old__=old_ns("celery_cache"),
        backend=Option(None),
        backend_options=Option({}, type="dict"),
    ),
    "cassandra": Namespace(
        entry_ttl=Option(None, type="float"),
        keyspace=Option(None),
        port=Option(None),
        read_consistency=Option(None),
        servers=Option(None, type="list"),
        bundle_path=Option(None),
        table=Option(
            None,
            old=(
                "cassandra_table",
                "cassandra_column_family",
            ),
        ),
        write_consistency=Option(None),
        auth_provider=Option(None),
        auth_kwargs=Option(None),
        options=Option({}, type="dict"),
        secure_bundle_path=Option(None),
    ),
    "s3": Namespace(
        access_key_id=Option(None),
        secret_access_key=Option(None),
        bucket=Option(None),
        base_path=Option(None),
        endpoint_url=Option(None),
        region=Option(None),
    ),
    "azureblockblob": Namespace(
        container_name=Option("celery"),
        retry_initial_backoff_sec=Option(2, type="int"),
        retry_increment_base=Option(2, type="int"),
        retry_max_attempts=Option(3, type="int"),
        base_path=Option(""),
        connection_timeout=Option(20, type="int"),
        read_timeout=Option(120, type="int"),
    ),
    "gcs": Namespace(
        bucket=Option(None),
        project=Option(None),
        base_path=Option(""),
        ttl=Option(0, type="float"),
    ),
    "couchbase": Namespace(
        __old__=old_ns("celery_couchbase"),
        backend_settings=Option(None, type="dict"),
    ),
    "arangodb": Namespace(
        __old__=old_ns("celery_arangodb"),
        backend_settings=Option(None, type="dict"),
    ),
    "mongodb": Namespace(
        __old__=old_ns("celery_mongodb"),
        backend_settings=Option(None, type="dict"),
    ),
    "cosmosdbsql": Namespace(
        database_name=Option("celerydb"),
        collection_name=Option("celerycol"),
        consistency_level=Option("Session"),
        max_retry_attempts=Option(9, type="int"),
        max_retry_wait_time=Option(30, type="int"),
    ),
    "redis": Namespace(
        __old__=old_ns("celery_redis"),
        backend_use_ssl=Option(None, type="dict"),
        db=Option(None, type="int"),
        host=Option(None),
        max_connections=Option(None, type="int"),
        username=Option(None),
        password=Option(None),
        port=Option(None, type="int"),
        socket_timeout=Option(120.0, type="float"),
        socket_connect_timeout=Option(None, type="float"),
        retry_on_timeout=Option(False, type="bool"),
        socket_keepalive=Option(False, type="bool"),
        backend_credential_provider=Option(None, type="any"),
        backend_health_check_interval=Option(None, type="int"),
        client_name=Option(None),
    ),
    "elasticsearch": Namespace(
        __old__=old_ns("celery_elasticsearch"),
        retry_on_timeout=Option(None, type="bool"),
        max_retries=Option(None, type="int"),
        timeout=Option(None, type="float"),
        save_meta_as_text=Option(True, type="bool"),
    ),
    "database": Namespace(
        url=Option(None, old=("celery_result_dburi",)),
        engine_options=Option(
            {"pool_pre_ping": True, "pool_recycle": 3600}, type="dict", old=("celery_result_engine_options",)
        ),
        engine_callback=Option(None, type="any"),
        short_lived_sessions=Option(False, type="bool", old=("celery_result_db_short_lived_sessions",)),
        table_schemas=Option(None, type="dict"),
        table_names=Option(
            None,
            type="dict",
            old=(
                "celery_result_db_tablenames",
                "celery_result_db_table_names",
            ),
        ),
        create_tables_at_setup=Option(True, type="bool"),
    ),
}
