// Frontend WebSocket client
const socket = new WebSocket('ws://localhost:8080');

socket.onopen = () => {
  // Subscribe to workflow execution
  socket.send(
    JSON.stringify({
      type: 'subscribe_execution',
      payload: {
        executionId: 'execution-123',
        events: ['token', 'event', 'progress', 'status'],
      },
    })
  );
};

socket.onmessage = (event) => {
  const message = JSON.parse(event.data);

  switch (message.type) {
    case 'token':
      // Handle token streaming
      console.log('Token:', message.payload.content);
      break;

    case 'progress':
      // Handle progress updates
      console.log('Progress:', message.payload.progress + '%');
      break;

    case 'event':
      // Handle workflow events
      console.log('Event:', message.payload);
      break;
  }
};
