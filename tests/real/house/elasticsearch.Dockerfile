# For docker.elastic.co/elasticsearch/elasticsearch: the node of ../nodes.py under Debian's Java, laid out as the official image is.
FROM debian:bookworm-slim
# Java's package wants the folder of its manual, which a slim Debian has not.
RUN mkdir -p /usr/share/man/man1 && apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends openjdk-17-jre-headless unzip \
    && rm -rf /var/lib/apt/lists/*
COPY *.zip /tmp/node.zip
COPY elasticsearch-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
# Its console speaks JSON there.
RUN unzip -q /tmp/node.zip -d /usr/share && rm /tmp/node.zip && mv /usr/share/elasticsearch-* /usr/share/elasticsearch \
    && cd /usr/share/elasticsearch && mkdir -p data logs \
    && sed -i -e 's/^appender.console.layout.type = .*/appender.console.layout.type = ECSJsonLayout/' \
        -e 's/^appender.console.layout.pattern = .*/appender.console.layout.dataset = elasticsearch.server/' config/log4j2.properties \
    && printf 'cluster.name: docker-cluster\nnetwork.host: 0.0.0.0\n' >>config/elasticsearch.yml \
    && useradd --uid 1000 --gid 0 --no-create-home --home-dir /usr/share/elasticsearch elasticsearch && chown -R 1000:0 .
ENV ES_JAVA_HOME=/usr/lib/jvm/java-17-openjdk-amd64
WORKDIR /usr/share/elasticsearch
USER 1000:0
EXPOSE 9200 9300
ENTRYPOINT ["/usr/local/bin/docker-entrypoint.sh"]
