-- What wrk posts: $BODY, of the type $CONTENT_TYPE, to the path and query in $TARGET.
wrk.method = "POST"
wrk.path = os.getenv("TARGET")
wrk.body = os.getenv("BODY")
wrk.headers["Content-Type"] = os.getenv("CONTENT_TYPE")
