// A web framework of Rust: axum on tokio, which stops in order.
// needs: axum@0.8.4 tokio@1.47.1[full] serde_json@1.0.143
// serve: $tree/bin/axum $port
use axum::{body::Bytes, extract::Query, http::header, routing::{get, post}, Json, Router};
use std::collections::HashMap;

#[tokio::main]
async fn main() {
	let app = Router::new()
		.route("/hello", get(|Query(asked): Query<HashMap<String, String>>| async move { Json(serde_json::json!({ "hello": asked["name"] })) }))
		.route("/big", get(|| async { "0123456789abcdef".repeat(65536) }))
		.route("/echo", post(|body: Bytes| async move { ([(header::CONTENT_TYPE, "application/octet-stream")], body) }));
	let port = std::env::args().nth(1).unwrap();
	let listener = tokio::net::TcpListener::bind(format!("0.0.0.0:{port}")).await.unwrap();
	let mut stop = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
	axum::serve(listener, app).with_graceful_shutdown(async move { stop.recv().await; }).await.unwrap();
	println!("ended in order");
}
