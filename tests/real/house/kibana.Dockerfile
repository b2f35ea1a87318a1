# For docker.elastic.co/kibana/kibana: no Kibana, but what `barge setup` asks one for.
FROM python:3.13-slim
COPY kibana.py /kibana.py
EXPOSE 5601
CMD ["python3", "-u", "/kibana.py"]
